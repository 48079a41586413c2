import { describe, expect, test } from "vitest";
import { Cpuid } from "../../../machine/cpuid.ts";
import { GeneralProtection, Msr, Msrs } from "../../../machine/msrs.ts";
import { Uart } from "../../../machine/uart.ts";

const SVME = 1n << 12n;
const DISABLED = 1n << 4n;
const msrs = (options = {}): Msrs => new Msrs(() => 1234n, options);

describe("model-specific registers", () => {
  test("that do not exist raise #GP, on a lenient machine they read 0", () => {
    expect(() => msrs().read(0x1234)).toThrow(GeneralProtection);
    expect(() => msrs().write(0x1234, 0n)).toThrow(GeneralProtection);
    expect(msrs({ lenient: true }).read(0x1234)).toBe(0n);
  });

  test("refuse reserved bits", () => {
    const registers = msrs();
    expect(() => registers.write(Msr.Efer, registers.read(Msr.Efer) | (1n << 9n))).toThrow(GeneralProtection);
    expect(() => registers.write(Msr.Pat, 2n)).toThrow(GeneralProtection);
    expect(() => registers.write(Msr.MtrrDefType, 2n)).toThrow(GeneralProtection);
    expect(() => registers.write(Msr.VmHsavePa, 0x1001n)).toThrow(GeneralProtection);
  });

  test("turn AMD-V on, unless the firmware has disabled it", () => {
    const registers = msrs();
    registers.write(Msr.Efer, registers.read(Msr.Efer) | SVME);
    expect(registers.read(Msr.Efer) & SVME).toBe(SVME);
    const disabled = msrs({ svmDisabled: true });
    expect(disabled.read(Msr.VmCr) & DISABLED).toBe(DISABLED);
    expect(() => disabled.write(Msr.Efer, disabled.read(Msr.Efer) | SVME)).toThrow(GeneralProtection);
    expect(() => disabled.write(Msr.VmCr, 0n)).toThrow(GeneralProtection);
  });

  test("of AMD-V are absent without it", () => {
    expect(() => msrs({ svm: false }).read(Msr.VmCr)).toThrow(GeneralProtection);
  });

  test("count time", () => {
    expect(msrs().read(Msr.Tsc)).toBe(1234n);
  });
});

describe("CPUID", () => {
  test("names the vendor as EBX, EDX, ECX", () => {
    const [, b, c, d] = new Cpuid().query(0, 0);
    const bytes = new Uint8Array(new Uint32Array([b, d, c]).buffer);
    expect(String.fromCharCode(...bytes)).toBe("AuthenticAMD");
  });

  test("shows what the options say", () => {
    const full = new Cpuid({ nrips: true, decodeAssists: true, x2apic: true, physicalBits: 48 });
    expect(full.query(0x8000_000a, 0)[3] & 0x89).toBe(0x89);
    expect(full.query(1, 0)[2] & (1 << 21)).not.toBe(0);
    expect(full.query(0x8000_0008, 0)[0] & 0xff).toBe(48);
    const none = new Cpuid({ svm: false });
    expect(none.query(0x8000_0001, 0)[2] & 4).toBe(0);
    expect(new Cpuid({ npt: false }).query(0x8000_000a, 0)[3] & 1).toBe(0);
    expect(new Cpuid({ leaves: { 0x4000_0000: [1, 2, 3, 4] } }).query(0x4000_0000, 0)).toEqual([1, 2, 3, 4]);
  });
});

describe("a UART", () => {
  test("sends text, and keeps the divisor apart from it", () => {
    const uart = new Uart();
    uart.writePort(3, 1, 0x80);
    uart.writePort(0, 1, 0x01);
    uart.writePort(1, 1, 0x02);
    uart.writePort(3, 1, 0x03);
    for (const code of [72, 105]) uart.writePort(0, 1, code);
    expect(uart.text).toBe("Hi");
    expect(uart.divisor).toBe(0x201);
    expect(uart.readPort(5) & 0x60).toBe(0x60);
  });

  test("that is stuck never becomes empty", () => {
    const uart = new Uart();
    uart.stuck = true;
    expect(uart.readPort(5) & 0x20).toBe(0);
  });
});
