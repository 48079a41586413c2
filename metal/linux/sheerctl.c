/* sheerctl: asks Sheer from a Linux guest, by the calls of src/control/hypercall.ts. A program without a C library.
 *   sheerctl             version and counters, a line each
 *   sheerctl log         Sheer's log
 *   sheerctl present     exit status 0 if this machine runs on Sheer
 *   sheerctl processors  a line for each processor: its local APIC, and what CPUID shows and costs there
 *   sheerctl clock       the processor's time-stamp counter, which counts from power-on; without Sheer as well */
typedef unsigned long u64;
typedef unsigned int u32;

#define CALL_VERSION 0x53480000u
#define CALL_COUNTER 0x53480001u
#define CALL_LOG 0x53480002u

enum { WRITE = 1, SCHED_SETAFFINITY = 203, EXIT_GROUP = 231 }; /* Linux's system calls */

#define MAXIMUM_PROCESSORS 64 /* as many as Sheer has room for */
#define TURNS 1000

struct answer { u64 rax, text[4]; }; /* rbx rcx rdx rsi */

/* VMMCALL, or under VT-x VMCALL: the other is an invalid instruction. */
static struct answer call(u32 number, u64 argument) {
  struct answer a;
  u32 vendor, ignored;
  __asm__("cpuid" : "=a"(ignored), "=b"(vendor) : "a"(0) : "ecx", "edx");
  if (vendor == 0x756e6547) /* "Genu" */
    __asm__ volatile("vmcall" : "=a"(a.rax), "=b"(a.text[0]), "=c"(a.text[1]), "=d"(a.text[2]), "=S"(a.text[3])
      : "a"((u64)number), "b"(argument), "c"(0ul), "d"(0ul), "S"(0ul) : "memory");
  else
    __asm__ volatile("vmmcall" : "=a"(a.rax), "=b"(a.text[0]), "=c"(a.text[1]), "=d"(a.text[2]), "=S"(a.text[3])
    : "a"((u64)number), "b"(argument), "c"(0ul), "d"(0ul), "S"(0ul) : "memory");
  return a;
}

static long system_call(long number, long a, const void *b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

static int is(const char *a, const char *b) { while (*a && *a == *b) a++, b++; return *a == *b; }

static char buffer[4096];
static u64 used;
static void flush(void) { system_call(WRITE, 1, buffer, used); used = 0; }
static void put(char c) { if (used == sizeof buffer) flush(); buffer[used++] = c; }
static void put_text(const char *s, u64 longest) { for (u64 i = 0; i < longest && s[i]; i++) put(s[i]); }
static void put_number(u64 n) { if (n >= 10) put_number(n / 10); put('0' + n % 10); }

/* CPUID says whether VMMCALL has a meaning here: without Sheer it is an invalid instruction. */
static int present(void) {
  u32 a = 0x40000000, b, c = 0, d;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return b == 0x65656853 && c == 0x65685372 && d == 0x68537265; /* "SheerSheerSh" */
}

static void show_counters(void) {
  u64 version = call(CALL_VERSION, 0).rax;
  put_text("version ", 99); put_number(version >> 16 & 0xff); put('.'); put_number(version >> 8 & 0xff); put('.');
  put_number(version & 0xff); put_text(" interface ", 99); put_number(version >> 32); put('\n');
  for (u64 i = 0;; i++) {
    struct answer a = call(CALL_COUNTER, i);
    if (!a.text[0]) return;
    put_text((char *)a.text, 24); put(' '); put_number(a.rax); put('\n');
  }
}

/* How often CPUID has ended the guest's run, on all processors together. */
static u64 cpuid_exits(void) {
  for (u64 i = 0;; i++) {
    struct answer a = call(CALL_COUNTER, i);
    if (!a.text[0]) return 0;
    if (a.text[0] == 0x70632e7374697865 && a.text[1] == 0x646975) return a.rax; /* "exits.cpuid" */
  }
}

/* The local APIC's number of the processor that this runs on. */
static u32 apic_id(void) {
  u32 a = 1, b, c = 0, d;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return b >> 24;
}

/* On the processor that this runs on. Outside Sheer its counters cannot be asked for either. */
static int show_processor(u32 number) {
  int here = present();
  put_text("processor ", 99); put_number(number); put_text(" apic ", 99); put_number(apic_id());
  if (here) {
    u64 before = cpuid_exits();
    for (u32 i = 0; i < TURNS; i++) apic_id();
    u64 exits = cpuid_exits() - before;
    put_text(" on Sheer, ", 99); put_number(TURNS); put_text(" CPUIDs ", 99); put_number(exits); put_text(" exits\n", 99);
  } else put_text(" outside Sheer\n", 99);
  return here;
}

/* Goes from one processor to the next; true if all that are online run on Sheer. */
static int show_processors(void) {
  int all = 1;
  for (u32 i = 0; i < MAXIMUM_PROCESSORS; i++) {
    u64 mask[MAXIMUM_PROCESSORS / 64] = {0};
    mask[i / 64] = 1ul << i % 64;
    if (!system_call(SCHED_SETAFFINITY, 0, (void *)sizeof mask, (long)mask)) all &= show_processor(i);
  }
  return all;
}

static void show_clock(void) {
  u32 low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  put_number((u64)high << 32 | low); put('\n');
}

static void show_log(void) {
  for (u64 at = 0;;) {
    struct answer a = call(CALL_LOG, at);
    if (!a.rax) return;
    for (u64 i = 0; i < a.rax; i++) put(((char *)(a.text + 1))[i]);
    at = a.text[0] + a.rax;
  }
}

/* True if what was asked for has been shown. */
static int show(const char *verb) {
  if (is(verb, "processors")) return show_processors();
  if (is(verb, "clock")) return show_clock(), 1;
  if (!is(verb, "") && !is(verb, "log") && !is(verb, "present"))
    return put_text("sheerctl shows its counters, or with a word: log, present, processors, clock.\n", 99), 0;
  if (!present()) return put_text("This machine does not run on Sheer.\n", 99), 0;
  if (is(verb, "log")) show_log();
  else if (is(verb, "")) show_counters();
  return 1;
}

static __attribute__((used, noreturn)) void start(long count, char **arguments) {
  int shown = show(count > 1 ? arguments[1] : "");
  flush();
  for (;;) system_call(EXIT_GROUP, shown ? 0 : 1, 0, 0);
}

__attribute__((naked)) void _start(void) {
  __asm__("mov (%rsp),%rdi; lea 8(%rsp),%rsi; and $-16,%rsp; call start");
}
