/** One entry of an archive in cpio's "newc" format, the format of Linux's initramfs. */
export interface ArchiveEntry {
  /** Without a leading slash. */
  name: string;
  /** File type and permissions, as in `stat`. */
  mode: number;
  content?: Buffer;
}

export const folderMode = 0o040755;
export const programMode = 0o100755;
export const fileMode = 0o100644;

const alignment = 4;
const trailer: ArchiveEntry = { name: "TRAILER!!!", mode: 0 };

/** The same entries always give the same bytes: no times, no owners, numbered in order. */
export function archiveOf(entries: ArchiveEntry[]): Buffer {
  return Buffer.concat([...entries, trailer].flatMap((entry, index) => pack(entry, index + 1)));
}

function pack(entry: ArchiveEntry, inode: number): Buffer[] {
  const name = Buffer.from(`${entry.name}\0`);
  const content = entry.content ?? Buffer.alloc(0);
  const [user, group, links, time, device] = [0, 0, 1, 0, [0, 0, 0, 0]];
  const numbers = [inode, entry.mode, user, group, links, time, content.length, ...device, name.length, 0];
  const header = Buffer.from(`070701${numbers.map((number) => number.toString(16).padStart(8, "0")).join("")}`);
  return [header, name, padding(header.length + name.length), content, padding(content.length)];
}

function padding(length: number): Buffer {
  return Buffer.alloc((alignment - (length % alignment)) % alignment);
}
