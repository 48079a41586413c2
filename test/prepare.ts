// Makes the cores that the tests run besides dist/core.wasm, so that no test waits for a compiler. A test that finds one
// missing makes it itself.
import { coreWasm } from "../cli/paths.ts";
import { suspendable } from "../machine/suspension/asyncify.ts";
import { SUSPENDING_IMPORTS } from "../machine/suspension/threads.ts";
import { compileCore } from "./compile.ts";
import { Processors } from "./interleavings/processors.ts";

suspendable(coreWasm, SUSPENDING_IMPORTS);
compileCore("decode", "test/unit/decode/core/guest.ts");
compileCore("types", "test/unit/memory/core/types.ts");
compileCore("space", "test/unit/memory/core/space.ts");
compileCore("nested", "test/unit/memory/core/nested.ts");
compileCore("guest-state", "test/unit/vmx/core/guest-state.ts");
new Processors(); // compiles its core
