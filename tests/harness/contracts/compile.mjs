// Compiles Solidity files with the `solc` package of tests/peers and prints one line of JSON:
//   {"<Contract>": {"creation": "0x…", "runtime": "0x…", "selectors": {"mint(address,uint256)": "0x40c10f19", …}}}
// Usage: node compile.mjs <path of tests/peers> <file.sol> …
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, resolve } from "node:path";

const [peers, ...files] = process.argv.slice(2);
const solc = createRequire(resolve(peers, "package.json"))("solc");

const input = {
  language: "Solidity",
  sources: Object.fromEntries(files.map((file) => [basename(file), { content: readFileSync(file, "utf8") }])),
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: "shanghai",
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.deployedBytecode", "evm.methodIdentifiers"] } },
  },
};

const output = JSON.parse(solc.compile(JSON.stringify(input)));
if (output.errors?.length) {
  process.stderr.write(output.errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}

const contracts = {};
for (const source of Object.values(output.contracts)) {
  for (const [name, { evm }] of Object.entries(source)) {
    if (evm.deployedBytecode.object === "") continue; // an interface
    if (Object.keys(evm.deployedBytecode.immutableReferences ?? {}).length) {
      process.stderr.write(`${name} has immutables, so its runtime code cannot be etched\n`);
      process.exit(1);
    }
    contracts[name] = {
      creation: `0x${evm.bytecode.object}`,
      runtime: `0x${evm.deployedBytecode.object}`,
      selectors: Object.fromEntries(Object.entries(evm.methodIdentifiers).map(([sig, id]) => [sig, `0x${id}`])),
    };
  }
}
process.stdout.write(`${JSON.stringify(contracts)}\n`);
