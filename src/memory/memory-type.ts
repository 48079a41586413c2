/** Memory types as MTRRs and extended page tables number them (AMD APM 2, 7.7.1; Intel SDM 3, 12.11.1). */
export const enum MemoryType {
  Uncacheable = 0,
  WriteCombining = 1,
  WriteThrough = 4,
  WriteProtected = 5,
  WriteBack = 6,
}
