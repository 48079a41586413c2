import { sheer } from "./program.ts";

process.exitCode = await sheer(process.argv.slice(2));
