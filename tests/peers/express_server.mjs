// The official npm resource server: @x402/express before the route /paid, whose handler counts its runs; /free is open.
// Both answer {"route", "method", "runs"}. --way is eip3009, permit2 or upto, of which --charge (atomic) is taken. Prints "ready <url>" after it has read the facilitator's /supported.
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";
import { options, serve } from "./arguments.mjs";

const given = options({ port: "0", facilitator: undefined, "pay-to": undefined, network: undefined, price: "$0.01", way: "eip3009", charge: "" });

const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: given.facilitator }))
  .register(given.network, new ExactEvmScheme())
  .register(given.network, new UptoEvmScheme());
await server.initialize();

const scheme = given.way === "upto" ? "upto" : "exact";
let price = given.price;
if (given.way === "permit2") {
  const { amount, asset, extra } = await new ExactEvmScheme().parsePrice(given.price, given.network);
  price = { amount, asset, extra: { ...extra, assetTransferMethod: "permit2" } };
}
const accepts = { scheme, network: given.network, payTo: given["pay-to"], price };
const app = express();
app.use(paymentMiddleware({ "/paid": { accepts, description: "a paid route", mimeType: "application/json" } }, server, undefined, undefined, false));
const runs = { paid: 0, free: 0 };
for (const route of ["paid", "free"]) {
  app.all(`/${route}`, (request, response) => {
    runs[route] += 1;
    if (given.charge && route === "paid") response.set("Settlement-Overrides", JSON.stringify({ amount: given.charge }));
    response.json({ route, method: request.method, runs: runs[route] });
  });
}
serve(app, given.port);
