/** What the core tells by `note`: see core/host.ts. */
export const Note = {
  Enter: 0,
  Leave: 1,
  Reset: 2,
  Start: 3,
  Nmi: 4,
  Changed: 5,
  Begin: 6,
  End: 7,
  Finished: 8,
  Abandoned: 9,
} as const;
