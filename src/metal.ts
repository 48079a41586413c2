// The whole surface between the core and the machine. `metal/` gives these declarations a body of one
// instruction or one entry path each on a real machine, `machine/` a body in TypeScript as a simulated PC.
// Physical addresses are u64; `usize` is a pointer into linear memory. Sizes are in bytes.

// Physical memory, any address of the machine; never optimised away, never torn for aligned accesses.
export declare function physRead8(address: u64): u32;
export declare function physRead16(address: u64): u32;
export declare function physRead32(address: u64): u32;
export declare function physRead64(address: u64): u64;
export declare function physWrite8(address: u64, value: u32): void;
export declare function physWrite16(address: u64, value: u32): void;
export declare function physWrite32(address: u64, value: u32): void;
export declare function physWrite64(address: u64, value: u64): void;
/** One access that no other can part: stores `value` if `expected` is there. Returns what was there before. */
export declare function physCompareExchange32(address: u64, expected: u32, value: u32): u32;
export declare function physCompareExchange64(address: u64, expected: u64, value: u64): u64;
/** Copies between ranges of ordinary memory that do not overlap. */
export declare function physCopy(to: u64, from: u64, length: u64): void;
/** Physical address of a linear-memory pointer; linear memory is physically contiguous. */
export declare function physOf(pointer: usize): u64;

// Words of linear memory that several processors change: each call is one access that no other can part, in an order
// that all processors agree on. The changing ones return what was there before.
export declare function atomicLoad32(pointer: usize): u32;
export declare function atomicStore32(pointer: usize, value: u32): void;
export declare function atomicAdd32(pointer: usize, value: u32): u32;
export declare function atomicExchange32(pointer: usize, value: u32): u32;
/** Stores `value` if `expected` is there. */
export declare function atomicCompareExchange32(pointer: usize, expected: u32, value: u32): u32;
/** Orders all loads and stores before it against all after it (MFENCE). */
export declare function fence(): void;

// I/O ports; values are zero-extended.
export declare function in8(port: u32): u32;
export declare function in16(port: u32): u32;
export declare function in32(port: u32): u32;
export declare function out8(port: u32, value: u32): void;
export declare function out16(port: u32, value: u32): void;
export declare function out32(port: u32, value: u32): void;

// Model-specific registers. The plain forms are for registers known to exist;
// the others say by false that the processor raised #GP.
export declare function rdmsr(index: u32): u64;
export declare function wrmsr(index: u32, value: u64): void;
/** Reads an MSR into the u64 at `result`. */
export declare function tryRdmsr(index: u32, result: usize): bool;
export declare function tryWrmsr(index: u32, value: u64): bool;

/** Writes RAX, RCX, RDX and RBX, in the order of their numbers, as four u64 to `result`. */
export declare function cpuid(leaf: u32, subleaf: u32, result: usize): void;
export declare function readTsc(): u64;
/** The address of the last page fault of the hypervisor itself. */
export declare function readCr2(): u64;
/** Writes all modified cache lines back and empties the caches (WBINVD). */
export declare function wbinvd(): void;
/** A spin-loop hint (PAUSE). */
export declare function pause(): void;
/** The number of the processor that this runs on; the boot processor is 0. */
export declare function thisProcessor(): u32;
/**
 * Physical address of the procedure (Microsoft x64 convention) that another processor calls, by the firmware's hand, with
 * the physical address of its ProcessorStart block. There it calls the export `processor`.
 */
export declare function processorEntry(): u64;
/** Virtual address of the top of a processor's stack, for its ProcessorStart block. */
export declare function processorStack(index: u32): u64;
/**
 * XMM register `index` to or from 16 bytes of linear memory, or, if `wide`, YMM to or from 32. The guest's registers stay in
 * the processor. Only where the guest itself may use them: wide ones need XCR0.YMM.
 */
export declare function readVector(index: u32, to: usize, wide: bool): void;
export declare function writeVector(index: u32, from: usize, wide: bool): void;
/** Extended control register 0, the guest's, if its CR4.OSXSAVE is set. */
export declare function readXcr0(): u64;
/** The rights of protection keys (PKRU), the guest's, if its CR4.PKE is set. */
export declare function readPkru(): u32;
/** Sets DR0 to DR3, which are not switched with the guest, to zero, and DR6, which VT-x does not switch, to what INIT leaves. */
export declare function clearBreakpoints(): void;
/**
 * Calls the export `thread(stack)` on a thread's stack or, if not `fresh`, goes on with that call where it was suspended,
 * on whatever processor. Returns when it has suspended itself or ended.
 */
export declare function resumeThread(stack: u32, fresh: bool): void;
/** Leaves the thread's stack that this runs on, for where `resumeThread` was called. */
export declare function suspendThread(): void;
/** Stops this processor for good. */
export declare function halt(): void;

/**
 * Calls the UEFI firmware (Microsoft x64 convention) with `count` (0 to 7) u64 arguments read from `args`,
 * under the firmware's own page tables, descriptor tables and stack, interrupts as the firmware had them.
 * Only before the guest first runs.
 */
export declare function firmwareCall(target: u64, args: usize, count: u32): u64;

/**
 * Lets waiting interrupts in for one instruction: NMIs always, and one external interrupt if `external`.
 * Returns InterruptWindow bits: the vector taken in 7:0, and which kinds came. Nothing is sent to the local APIC.
 */
export declare function openInterruptWindow(external: bool): u32;

/**
 * Runs the guest by VMRUN with the state in the GuestRun block, and calls the export `exit(run)` after each
 * #VMEXIT, for ever; where that returns true, it waits for an NMI, lets it in and calls `wake(run)` instead. Does not return on a real machine; in the simulated one it notes the block and returns.
 */
export declare function runSvmGuest(run: usize): void;

// Intel VT-x (Intel SDM 3, chapter 31). Addresses are physical; false: VMfail.
/** Turns VMX operation on, with CR4.VMXE and what else it needs in control registers. */
export declare function vmxon(region: u64): bool;
export declare function vmclear(vmcs: u64): bool;
/** Makes a VMCS this processor's current one, which the others are about. */
export declare function vmptrld(vmcs: u64): bool;
/** A field by its encoding; 0 if this processor does not have it. */
export declare function vmread(field: u32): u64;
export declare function vmwrite(field: u32, value: u64): bool;
export declare function invept(type: u32, eptPointer: u64): void;
export declare function invvpid(type: u32, vpid: u32): void;
/** Sets CR2, which VM entries and exits leave as it is. */
export declare function setCr2(value: u64): void;
/** XSETBV of XCR0; false if the processor raised #GP. */
export declare function trySetXcr0(value: u64): bool;
/**
 * Runs the guest of the current VMCS with the state in the VmxRun block, and calls the export `vmxExit(run)` after each VM
 * exit, for ever; where that returns true, it waits for an NMI and calls `vmxWake(run)` instead. An NMI that comes while the
 * host runs ends the next run before it begins. Does not return.
 */
export declare function runVmxGuest(run: usize): void;

/** Copies the name of the core's function that holds code address `address` to `buffer` as ASCII; returns its length. */
export declare function functionName(address: u64, buffer: usize, capacity: u32): u32;
/** Copies the SHA-256 of core.wasm, 64 ASCII characters, to `buffer`. */
export declare function coreHash(buffer: usize): void;
