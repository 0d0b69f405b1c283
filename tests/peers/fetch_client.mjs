// The official npm client pays one URL: @x402/fetch with the exact scheme of @x402/evm.
// Prints {"status", "body", "settlement", "headers"}; settlement is the decoded PAYMENT-RESPONSE or null. When no answer
// came, it prints {"error"} and ends with code 1.
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";
import { options, parsed, report } from "./arguments.mjs";

const given = options({ url: undefined, key: undefined, network: undefined, method: "GET", body: "" });

const account = privateKeyToAccount(given.key);
const client = new x402Client()
  .register(given.network, new ExactEvmScheme(account))
  .register(given.network, new UptoEvmScheme(account));
const payingFetch = wrapFetchWithPayment(fetch, client);

async function pay() {
  const init = { method: given.method };
  if (given.body) Object.assign(init, { body: given.body, headers: { "Content-Type": "application/json" } });
  const response = await payingFetch(given.url, init);
  const settlement = response.headers.get("PAYMENT-RESPONSE");
  return {
    status: response.status,
    body: parsed(await response.text()),
    settlement: settlement ? decodePaymentResponseHeader(settlement) : null,
    headers: Object.fromEntries(response.headers),
  };
}

try {
  report(await pay());
} catch (error) {
  report({ error: `${error.name}: ${error.message}` });
  process.exitCode = 1;
}
