/** What is open over the page, the last error, what is known of the daemon, and who waits for a decision. */

import { ApiError, get, type About, type PaymentQuestion, type WaitingCall } from "./api";
import { offline } from "./route.svelte";

export type Overlay = "" | "palette" | "preferences" | "shortcuts" | "inbox" | "branch" | "branches" | "compare";

class Ui {
  overlay: Overlay = $state("");
  problem: ApiError | null = $state.raw(null);
  said = $state("");
  about: About | null = $state.raw(null);
  aboutRead = $state(0);
  waiting: WaitingCall[] = $state.raw([]);
  payments: PaymentQuestion[] = $state.raw([]);
  /** Where a new branch is to begin. */
  forkAt = $state(0);
  forkMessage = $state("");

  /** Do something that may fail; what fails is shown. */
  async attempt(action: () => Promise<unknown>): Promise<boolean> {
    try {
      await action();
      this.problem = null;
      return true;
    } catch (error) {
      this.problem = error instanceof ApiError ? error : new ApiError(0, "page", String(error));
      return false;
    }
  }

  async readAbout(): Promise<void> {
    if (offline) return;
    await get<About>("/workspace/about").then((about) => {
      this.about = about;
      this.aboutRead = Date.now();
    }, () => undefined);
  }

  /** Everything that waits for a person, in all sessions. */
  async readInbox(): Promise<void> {
    if (offline) return;
    const [calls, payments] = await Promise.allSettled([
      get<WaitingCall[]>("/approvals"),
      get<PaymentQuestion[] | { approvals: PaymentQuestion[] }>("/v1/approvals"),
    ]);
    if (calls.status === "fulfilled") this.waiting = calls.value;
    if (payments.status === "fulfilled") this.payments = Array.isArray(payments.value) ? payments.value : payments.value.approvals;
  }

  /** A sentence for those who listen; at most one a second. */
  say(words: string): void {
    this.said = words;
  }

  branchFrom(sequence: number, message = ""): void {
    this.forkAt = sequence;
    this.forkMessage = message;
    this.overlay = "branch";
  }
}

export const ui = new Ui();
