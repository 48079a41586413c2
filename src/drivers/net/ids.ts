/** Whether a device ID is one of a list. */
export function hasId(ids: StaticArray<u16>, device: u32): bool {
  for (let i = 0; i < ids.length; i++) {
    if ((unchecked(ids[i]) as u32) == device) return true;
  }
  return false;
}
