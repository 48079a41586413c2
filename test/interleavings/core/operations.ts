// The core's half of the interleaving tests: what the simulated processors call.
import { DeliveryMode, sendInterprocessor } from "../../../src/interrupt/interprocessor";
import { Signals } from "../../../src/interrupt/signals";
import { atomicLoad32, atomicStore32, openInterruptWindow, pause } from "../../../src/metal";
import { TicketLock } from "../../../src/threads/lock";
import { processors } from "../../../src/vcpu/processors";
import { Registers } from "../../../src/vcpu/vcpu";
import { Note, note, runGuest, step, waitForNmi, WINDOW_NMI } from "./host";
import { TestVcpu } from "./vcpu";
export * from "./buddy";
export * from "./tables";
export * from "./threads";
export * from "./walks";

class BrokenLock {
  private taken: u32 = 0;
  acquire(): void {
    while (atomicLoad32(changetype<usize>(this))) pause();
    atomicStore32(changetype<usize>(this), 1);
  }
  release(): void {
    atomicStore32(changetype<usize>(this), 0);
  }
}

const lock = new TicketLock();
const broken = new BrokenLock();
const signals = new Signals();

export function useLock(rounds: u32): void {
  for (let i: u32 = 0; i < rounds; i++) {
    lock.acquire();
    note(Note.Enter, i);
    step();
    note(Note.Leave, i);
    lock.release();
  }
}

/** As a trap leaves it: the lock is released by releaseAll. */
export function trapWithLock(): void {
  lock.acquire();
  note(Note.Enter, 0);
  step();
  note(Note.Leave, 0);
  TicketLock.releaseAll();
}

export function useBrokenLock(): void {
  broken.acquire();
  note(Note.Enter, 0);
  step();
  note(Note.Leave, 0);
  broken.release();
}

/** What `useSignals` does, 4 bits each from the lowest on. */
const enum Act {
  Init = 1,
  Startup,
  Nmi,
  Take,
  TakeAtBootProcessor,
}

/** Start-up interrupts have the number of the act for a vector. */
export function useSignals(acts: u32): void {
  for (let i: u32 = 0; acts; i++, acts >>= 4) {
    note(Note.Begin, acts & 15);
    note(Note.End, act(acts & 15, i));
  }
}

function act(what: Act, vector: u32): u32 {
  switch (what) {
    case Act.Init:
      signals.sendInit();
      return 0;
    case Act.Startup:
      return signals.sendStartup(vector) ? 1 : 0;
    case Act.Nmi:
      signals.sendNmi();
      return 0;
    default:
      return signals.take(what == Act.TakeAtBootProcessor);
  }
}

/** What is left to take: as the word in Signals has it. */
export function signalsLeft(): u32 {
  return load<u32>(changetype<usize>(signals));
}

export function addProcessor(index: u32): void {
  const vcpu = new TestVcpu(changetype<Registers>(heap.alloc(offsetof<Registers>())), index);
  vcpu.apic.noteMode();
  processors.add(vcpu);
}

/** What metal/svm.h does: the guest's run, the exit, and waiting, until so many starts and NMIs have come. */
export function runProcessor(starts: u32, nmis: u32): void {
  const vcpu = changetype<TestVcpu>(processors.current());
  let entered = vcpu.enter();
  while (vcpu.starts < starts || vcpu.nmis < nmis) {
    if (entered) {
      runGuest(vcpu.translations);
      vcpu.leaveGuest();
      if (openInterruptWindow(false) & WINDOW_NMI) vcpu.tookNmi();
    } else {
      waitForNmi();
      vcpu.wake();
    }
    entered = vcpu.enter();
  }
  vcpu.leaveGuest();
}

/** The guest runs here so many times. */
export function runTimes(times: u32): void {
  const vcpu = changetype<TestVcpu>(processors.current());
  for (let i: u32 = 0; i < times && vcpu.enter(); i++) {
    runGuest(vcpu.translations);
    vcpu.leaveGuest();
    if (openInterruptWindow(false) & WINDOW_NMI) vcpu.tookNmi();
  }
}

/** What a guest's processor does that starts another one. */
export function startOther(destination: u32, vector: u32): void {
  send(DeliveryMode.Init, 0, destination);
  send(DeliveryMode.Startup, vector, destination);
  send(DeliveryMode.Startup, vector + 1, destination);
}

export function sendNmiTo(destination: u32): void {
  send(DeliveryMode.Nmi, 0, destination);
}

function send(mode: u32, vector: u32, destination: u32): void {
  sendInterprocessor((mode << 8) | (1 << 14) | vector, destination);
}

/** Changes the guest's address space, after which no processor runs with the old one. */
export function changeSpace(): void {
  processors.synchronise();
  note(Note.Changed, processors.currentGeneration());
}
