#!/usr/bin/env node
// `npx sheer`: the command is TypeScript, which this Node runs with the help of tsx.
import { register } from "tsx/esm/api";

register();
await import("./main.ts");
