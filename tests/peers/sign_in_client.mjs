// The official client signs in with a wallet (npm @x402/extensions): one request that is answered by 402, its challenge signed
// by a viem account, and the same request again with SIGN-IN-WITH-X. Prints {"status", "body", "settlement": null,
// "headers"}, or {"error"}.
import { wrapFetchWithSIWx } from "@x402/extensions/sign-in-with-x";
import { privateKeyToAccount } from "viem/accounts";
import { options, parsed, report } from "./arguments.mjs";

const given = options({ url: undefined, key: undefined });
try {
  const signingFetch = wrapFetchWithSIWx(fetch, privateKeyToAccount(given.key));
  const response = await signingFetch(given.url);
  report({
    status: response.status,
    body: parsed(await response.text()),
    settlement: null,
    headers: Object.fromEntries(response.headers),
  });
} catch (error) {
  report({ error: `${error.name}: ${error.message}` });
  process.exitCode = 1;
}
