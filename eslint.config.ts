import eslint from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

/** AssemblyScript: TypeScript's syntax with other types, checked by a tsc configuration of its own. */
const core = ["src/**/*.ts", "guest/programs/**/*.ts", "test/**/core/**/*.ts", "test/cores/**/*.ts"];

export default defineConfig(
  { ignores: ["node_modules/", "dist/", ".cache/"] },
  eslint.configs.recommended,
  {
    // Rules that need types would take its integers for numbers and its casts for nothing: they are left out here.
    files: core,
    extends: [...tseslint.configs.strict, ...tseslint.configs.stylistic],
    rules: {
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/prefer-literal-enum-member": ["error", { allowBitwiseExpressions: true }],
      // Literals of 64 bits are exact, enums have 32: constants of 64 bits go into namespaces.
      "no-loss-of-precision": "off",
      "@typescript-eslint/no-namespace": "off",
      // Registers share places in different layouts; the language has no for-of.
      "@typescript-eslint/no-duplicate-enum-values": "off",
      "@typescript-eslint/prefer-for-of": "off",
    },
  },
  {
    files: ["**/*.ts"],
    ignores: core,
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { project: "./tsconfig.json" } },
    rules: {
      "@typescript-eslint/no-unnecessary-type-assertion": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/no-meaningless-void-operator": "off",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
    },
  },
  {
    files: ["**/*.mjs"],
    languageOptions: { globals: { process: "readonly", console: "readonly", URL: "readonly" } },
  },
);
