/** What openInterruptWindow returns beside the vector in 7:0. */
export const enum InterruptWindow {
  External = 1 << 8,
  Nmi = 1 << 9,
}
