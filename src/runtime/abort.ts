/** Stands in for the compiler's `abort` import: our own broken invariants trap, and the trap is reported by function. */
export function onAbort(_message: string | null, _file: string | null, _line: u32, _column: u32): void {
  unreachable();
}
