import type { Finding } from "./finding.ts";

/** Has the processor what Sheer needs? `cpuinfo` is Linux's /proc/cpuinfo. Sheer, too, goes by the vendor's name. */
export function processorFindings(cpuinfo: string): Finding[] {
  return wordsOf("vendor_id", cpuinfo).has("GenuineIntel") ? intelFindings(cpuinfo) : amdFindings(cpuinfo);
}

function amdFindings(cpuinfo: string): Finding[] {
  const flags = wordsOf("flags", cpuinfo);
  return [
    {
      what: "AMD-V",
      good: flags.has("svm"),
      advice: "switch SVM (AMD-V) on in the firmware, if the processor has it",
    },
    {
      what: "nested paging",
      good: flags.has("npt"),
      advice: "Sheer needs a processor with nested paging (npt); this one has none or its firmware hides it",
    },
  ];
}

/** Where the firmware has locked VMX off, Linux takes the flag away. */
function intelFindings(cpuinfo: string): Finding[] {
  const flags = wordsOf("flags", cpuinfo);
  const controls = wordsOf("vmx flags", cpuinfo);
  return [
    {
      what: "Intel VT-x",
      good: flags.has("vmx"),
      advice: "switch Intel VT-x (Virtualization Technology) on in the firmware, if the processor has it",
    },
    {
      what: "extended page tables",
      good: flags.has("ept"),
      advice: "Sheer needs a processor with extended page tables (ept); this one has none or its firmware hides it",
    },
    {
      what: "unrestricted guests",
      good: controls.has("unrestricted_guest"),
      advice:
        "Sheer needs a processor with unrestricted guests; this one has none, or its Linux (before 5.6) does not tell",
    },
  ];
}

/** The words of the first processor's line of this name. */
function wordsOf(name: string, cpuinfo: string): Set<string> {
  const line = new RegExp(`^${name}\\s*:(.*)$`, "m").exec(cpuinfo)?.[1] ?? "";
  return new Set(line.trim().split(/\s+/));
}
