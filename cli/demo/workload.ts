/** What the demonstration's guest is given. */
export const demoProcessors = 2;

const mebibyte = 1024 * 1024;
export const downloadBytes = 64 * mebibyte;
export const uploadBytes = 32 * mebibyte;
