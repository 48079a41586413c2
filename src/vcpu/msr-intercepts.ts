/** Which accesses of the guest to MSRs cause exits, on all processors. */
export abstract class MsrIntercepts {
  abstract interceptRead(index: u32): void;
  abstract interceptWrite(index: u32): void;

  interceptBoth(index: u32): void {
    this.interceptRead(index);
    this.interceptWrite(index);
  }
}
