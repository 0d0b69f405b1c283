// The official npm resource server: @x402/express before the route /paid, whose handler counts its runs; /free is open.
// Both answer {"route", "method", "runs"}. Prints "ready <url>" after it has read the facilitator's /supported.
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";
import { options, serve } from "./arguments.mjs";

const given = options({ port: "0", facilitator: undefined, "pay-to": undefined, network: undefined, price: "$0.01" });

const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: given.facilitator })).register(
  given.network,
  new ExactEvmScheme(),
);
await server.initialize();

const accepts = { scheme: "exact", network: given.network, payTo: given["pay-to"], price: given.price };
const app = express();
app.use(paymentMiddleware({ "/paid": { accepts, description: "a paid route", mimeType: "application/json" } }, server, undefined, undefined, false));
const runs = { paid: 0, free: 0 };
for (const route of ["paid", "free"]) {
  app.all(`/${route}`, (request, response) => {
    runs[route] += 1;
    response.json({ route, method: request.method, runs: runs[route] });
  });
}
serve(app, given.port);
