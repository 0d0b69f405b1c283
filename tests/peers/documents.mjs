// The official reading of signed offers and receipts (npm @x402/extensions). One JSON document on stdin:
//   {"offers": [...]}    or {"receipt": {...}}          verified, each with its signer and payload
//   {"sign": {"key", "resourceUrl", "input", ...}}      an offer and a receipt signed by a viem account
// One JSON document on stdout.
import { readFileSync } from "node:fs";
import {
  createOfferEIP712,
  createReceiptEIP712,
  extractJWSHeader,
  verifyOfferSignatureEIP712,
  verifyOfferSignatureJWS,
  verifyReceiptSignatureEIP712,
  verifyReceiptSignatureJWS,
} from "@x402/extensions";
import { privateKeyToAccount } from "viem/accounts";
import { report } from "./arguments.mjs";

const asked = JSON.parse(readFileSync(0, "utf8"));
const answer = {};
try {
  if (asked.offers) {
    answer.offers = [];
    for (const offer of asked.offers) {
      if (offer.format === "jws") {
        answer.offers.push({
          payload: await verifyOfferSignatureJWS(offer),
          signer: extractJWSHeader(offer.signature).kid,
          acceptIndex: offer.acceptIndex,
        });
      } else {
        answer.offers.push({ ...(await verifyOfferSignatureEIP712(offer)), acceptIndex: offer.acceptIndex });
      }
    }
  }
  if (asked.receipt) {
    answer.receipt =
      asked.receipt.format === "jws"
        ? { payload: await verifyReceiptSignatureJWS(asked.receipt), signer: extractJWSHeader(asked.receipt.signature).kid }
        : await verifyReceiptSignatureEIP712(asked.receipt);
  }
  if (asked.sign) {
    const account = privateKeyToAccount(asked.sign.key);
    const signTypedData = (data) => account.signTypedData(data);
    answer.offer = await createOfferEIP712(asked.sign.resourceUrl, asked.sign.offer, signTypedData);
    answer.receipt = await createReceiptEIP712(asked.sign.receipt, signTypedData);
    answer.address = account.address;
  }
} catch (error) {
  answer.error = String(error);
}
report(answer);
