// The official npm facilitator over HTTP: @x402/core with the exact scheme of @x402/evm on one chain.
// POST /verify and /settle take {"paymentPayload", "paymentRequirements"}; GET /supported lists the chain.
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { UptoEvmScheme } from "@x402/evm/upto/facilitator";
import express from "express";
import { createWalletClient, defineChain, http, nonceManager, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { options, serve } from "./arguments.mjs";

const given = options({ port: "0", rpc: undefined, key: undefined, "chain-id": "84532", "confirmation-ms": "30000", "nonce-manager": false });

const chain = defineChain({
  id: Number(given["chain-id"]),
  name: "local",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [given.rpc] } },
});
const account = privateKeyToAccount(given.key, given["nonce-manager"] ? { nonceManager } : {});
const wallet = createWalletClient({ account, chain, transport: http(given.rpc, { retryCount: 0 }), pollingInterval: 50 }).extend(publicActions);
const signer = toFacilitatorEvmSigner(
  {
    address: account.address,
    getCode: (args) => wallet.getCode(args),
    readContract: (args) => wallet.readContract({ ...args, args: args.args ?? [] }),
    verifyTypedData: (args) => wallet.verifyTypedData(args),
    writeContract: (args) => wallet.writeContract({ ...args, args: args.args ?? [] }),
    sendTransaction: (args) => wallet.sendTransaction(args),
    waitForTransactionReceipt: (args) => wallet.waitForTransactionReceipt(args),
  },
  { confirmationTimeoutMs: Number(given["confirmation-ms"]) },
);
const facilitator = new x402Facilitator()
  .register(`eip155:${chain.id}`, new ExactEvmScheme(signer))
  .register(`eip155:${chain.id}`, new UptoEvmScheme(signer));

const app = express();
app.use(express.json({ limit: "1mb" }));
app.get("/supported", (_request, response) => response.json(facilitator.getSupported()));
for (const action of ["verify", "settle"]) {
  app.post(`/${action}`, async (request, response) => {
    try {
      response.json(await facilitator[action](request.body.paymentPayload, request.body.paymentRequirements));
    } catch (error) {
      response.status(500).json({ error: error.message });
    }
  });
}
serve(app, given.port);
