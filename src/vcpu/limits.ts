/** So many processors have a stack: see metal/processors.h. */
export const MAXIMUM_PROCESSORS: u32 = 64;
