/** What a model costs, in words; what nobody told is said so. */

import type { Model } from "../app/api";
import { usd } from "../app/format";
import { t } from "../i18n/i18n";

export function priceOf(model: Model): string {
  const { input_micro_per_mtok: input, output_micro_per_mtok: output } = model;
  if (input === null || output === null) return t("priceUnknown");
  if (input === 0 && output === 0) return t("free");
  return t("pricePair", { input: usd(input), output: usd(output) });
}
