// The page where a person confirms what their agent signs.
//
// Two keys: the device key (WebCrypto, kept in IndexedDB, usable and not readable) signs; the passkey says that the person is
// here. What is shown is read from the bytes that are signed, and the passkey's challenge is computed here from the same
// bytes. Text from outside only ever becomes text.
"use strict";

(() => {
  const BASE = "/custody/browser";
  const ASSERT = "anima:webauthn:assert:v1\0";
  const PURPOSES = {
    "agent+jwt": "Prove who the agent is",
    "anima-kya+jwt": "Answer a challenge about the agent's identity",
  };
  const NAMES = {
    amount: "Amount",
    value_atomic: "Atomic units",
    to: "To",
    from: "From",
    asset: "Token",
    network: "Network",
    valid_until_s: "Valid until",
    message: "Message",
    length_bytes: "Length in bytes",
    value_wei: "Value in wei",
    most_fee_wei: "Most fees in wei",
    nonce: "Nonce",
    data: "Data",
    data_bytes: "Data in bytes",
    aud: "For",
    iss: "Issuer",
    sub: "Subject",
    exp: "Valid until",
    iat: "Made at",
    type: "Type",
    digest: "Digest",
  };
  const TIMES = new Set(["valid_until_s", "exp", "iat", "nbf"]);

  const element = (id) => document.getElementById(id);
  const text = new TextEncoder();

  // --- bytes

  function toBase64url(buffer) {
    let binary = "";
    for (const byte of new Uint8Array(buffer)) binary += String.fromCharCode(byte);
    return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  function fromBase64url(value) {
    return Uint8Array.from(atob(value.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  }

  function joined(...parts) {
    const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  async function sha256(bytes) {
    return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  }

  // --- the device key

  function opened() {
    return new Promise((resolve, reject) => {
      const request = indexedDB.open("life-custody", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("keys");
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }

  async function inStore(mode, act) {
    const database = await opened();
    try {
      return await new Promise((resolve, reject) => {
        const transaction = database.transaction("keys", mode, { durability: "strict" });
        const request = act(transaction.objectStore("keys"));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onerror = transaction.onabort = () => reject(transaction.error);
      });
    } finally {
      database.close();
    }
  }

  async function makeDeviceKey() {
    const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
    const name = toBase64url(await crypto.subtle.exportKey("raw", pair.publicKey));
    await inStore("readwrite", (store) => store.put(pair, name));
    if (navigator.storage && navigator.storage.persist) await navigator.storage.persist();
    return { name, pair };
  }

  const deviceKey = (name) => inStore("readonly", (store) => store.get(name));
  const forgetKey = (name) => inStore("readwrite", (store) => store.delete(name));

  async function signed(pair, signingInput) {
    const algorithm = { name: "ECDSA", hash: "SHA-256" };
    return toBase64url(await crypto.subtle.sign(algorithm, pair.privateKey, text.encode(signingInput)));
  }

  // --- the server

  async function call(method, path, body) {
    const options = { method, credentials: "same-origin", headers: {} };
    if (body !== undefined) {
      options.headers["content-type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    const response = await fetch(BASE + path, options);
    const content = response.status === 204 ? null : await response.json();
    if (!response.ok) throw new Error(content.detail || content.title || `The server answered ${response.status}.`);
    return content;
  }

  // --- what is shown

  // Control and direction characters could make a text look like another one.
  function visible(value) {
    const plain = typeof value === "string" ? value : JSON.stringify(value);
    return plain.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (letter) =>
      letter === "\n" ? letter : `\\u{${letter.codePointAt(0).toString(16)}}`,
    );
  }

  function written(name, value) {
    if (TIMES.has(name) && Number.isSafeInteger(value) && value < 8e12) return new Date(value * 1000).toLocaleString();
    return visible(value);
  }

  function decoded(signingInput) {
    const [header, claims] = signingInput.split(".").map((part) => JSON.parse(new TextDecoder().decode(fromBase64url(part))));
    return { header, claims };
  }

  function notice(sentence, wrong) {
    const place = element("notice");
    place.textContent = visible(sentence);
    place.className = wrong ? "wrong" : "";
    place.hidden = false;
  }

  function sentence(error) {
    if (error && error.name === "NotAllowedError") return "The passkey was not used, or did not recognise you. Nothing was signed.";
    return error && error.message ? error.message : String(error);
  }

  const APPROVAL = "anima-approval+jwt";

  function fillTerms(list, header, claims) {
    const terms = header.typ === APPROVAL ? claims.terms : claims;
    for (const [name, value] of Object.entries(terms)) {
      const term = document.createElement("dt");
      const detail = document.createElement("dd");
      term.textContent = visible(Object.hasOwn(NAMES, name) ? NAMES[name] : name);
      detail.textContent = written(name, value);
      if (name === "amount") detail.className = "amount";
      list.append(term, detail);
    }
  }

  function titleOf(header, claims) {
    if (header.typ === APPROVAL) return visible(claims.purpose);
    const purpose = Object.hasOwn(PURPOSES, header.typ) ? PURPOSES[header.typ] : "Sign a token";
    return `${purpose} (${visible(header.typ)})`;
  }

  function card(request) {
    const { header, claims } = decoded(request.signing_input);
    const place = element("request-template").content.cloneNode(true).firstElementChild;
    place.dataset.id = request.id;
    place.querySelector("h3").textContent = titleOf(header, claims);
    const until = new Date(Date.now() + request.expires_in_s * 1000);
    place.querySelector(".left").textContent = `Answer before ${until.toLocaleTimeString()}.`;
    fillTerms(place.querySelector("dl"), header, claims);
    place.querySelector("pre").textContent = visible(JSON.stringify({ header, claims }, null, 2));
    place.querySelector(".approve").addEventListener("click", () => answered(place, () => approve(request)));
    place.querySelector(".refuse").addEventListener("click", () => answered(place, () => refuse(request)));
    return place;
  }

  // --- acts of the person

  let busy = false;

  async function answered(place, act) {
    if (busy) return;
    busy = true;
    for (const button of place.querySelectorAll("button")) button.disabled = true;
    try {
      const done = await act();
      place.remove();
      notice(done);
    } catch (error) {
      notice(sentence(error), true);
    } finally {
      busy = false;
      for (const button of place.querySelectorAll("button")) button.disabled = false;
      await look();
    }
  }

  async function approve(request) {
    const pair = await deviceKey(state.device_key);
    if (!pair) throw new Error("This browser does not hold the agent's key.");
    const { nonce, credential_id, rp_id } = await call("POST", `/requests/${request.id}/challenge`);
    const message = await sha256(text.encode(request.signing_input));
    const challenge = await sha256(joined(text.encode(ASSERT), fromBase64url(nonce), message));
    const assertion = await navigator.credentials.get({
      publicKey: {
        challenge,
        rpId: rp_id,
        allowCredentials: [{ type: "public-key", id: fromBase64url(credential_id) }],
        userVerification: "required",
        timeout: 60000,
      },
    });
    const signature = await signed(pair, request.signing_input);
    await call("POST", `/requests/${request.id}/answer`, { credential: assertionJson(assertion), signature });
    return "Confirmed and signed.";
  }

  async function refuse(request) {
    await call("POST", `/requests/${request.id}/refusal`);
    return "Refused. Nothing was signed.";
  }

  function assertionJson(credential) {
    return {
      id: credential.id,
      rawId: toBase64url(credential.rawId),
      type: credential.type,
      response: {
        clientDataJSON: toBase64url(credential.response.clientDataJSON),
        authenticatorData: toBase64url(credential.response.authenticatorData),
        signature: toBase64url(credential.response.signature),
        userHandle: credential.response.userHandle ? toBase64url(credential.response.userHandle) : null,
      },
    };
  }

  async function enrol() {
    const code = new URLSearchParams(location.hash.slice(1)).get("enrol") || "";
    const { name, pair } = await makeDeviceKey();
    try {
      const asked = await call("POST", "/enrolment/challenge", { code, device_key: name });
      const { header, claims } = decoded(asked.signing_input);
      if (header.typ !== "anima-device+jwt" || claims.challenge !== asked.challenge) {
        throw new Error("The server asks for something else than an enrolment.");
      }
      const credential = await navigator.credentials.create({
        publicKey: {
          challenge: fromBase64url(asked.challenge),
          rp: { id: asked.rp_id, name: asked.rp_name },
          user: { id: fromBase64url(asked.user_id), name: asked.user_name, displayName: asked.user_name },
          pubKeyCredParams: [{ type: "public-key", alg: -7 }],
          authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
          attestation: asked.attestation,
          timeout: 60000,
        },
      });
      await call("POST", "/enrolment", {
        code,
        credential: {
          id: credential.id,
          rawId: toBase64url(credential.rawId),
          type: credential.type,
          response: {
            clientDataJSON: toBase64url(credential.response.clientDataJSON),
            attestationObject: toBase64url(credential.response.attestationObject),
          },
        },
        signature: await signed(pair, asked.signing_input),
      });
    } catch (error) {
      const known = await call("GET", "/state").catch(() => null);
      if (known && known.device_key !== name) await forgetKey(name);
      throw error;
    }
    history.replaceState(null, "", location.pathname);
  }

  async function pay(form) {
    const order_id = toBase64url(crypto.getRandomValues(new Uint8Array(16)));
    const values = new FormData(form);
    const outcome = await call("POST", "/payments", {
      order_id,
      to: values.get("to"),
      value_atomic: values.get("value_atomic"),
    });
    if (!outcome.paid) throw new Error(outcome.reason || "It was not paid.");
    return `Paid. Transaction ${outcome.transaction}`;
  }

  // --- the page

  let state = null;
  let looks = 0;

  async function look() {
    const mine = ++looks;
    const now = await call("GET", "/state");
    const waiting = now.enrolled ? await call("GET", "/requests") : [];
    if (mine !== looks) return; // a later look knows better
    state = now;
    const invited = location.hash.startsWith("#enrol=");
    element("enrolment").hidden = state.enrolled || !invited;
    element("payment").hidden = !state.can_pay;
    element("identity").textContent = state.enrolled
      ? visible(state.did)
      : invited
        ? "No browser is enrolled yet."
        : "No browser is enrolled yet. Open the invitation's link.";
    const place = element("requests");
    const ids = new Set(waiting.map((request) => request.id));
    for (const old of [...place.children]) if (!ids.has(old.dataset.id)) old.remove();
    const here = new Set([...place.children].map((old) => old.dataset.id));
    for (const request of waiting) if (!here.has(request.id)) place.append(card(request));
    element("nothing").hidden = waiting.length > 0;
  }

  async function started() {
    if (!isSecureContext || !navigator.credentials || !indexedDB) {
      notice("This page needs https (or http on localhost) and a browser with passkeys.", true);
      return;
    }
    element("enrol").addEventListener("click", async (event) => {
      event.target.disabled = true;
      try {
        await enrol();
        notice("This browser is enrolled.");
      } catch (error) {
        notice(sentence(error), true);
      } finally {
        event.target.disabled = false;
        await look();
      }
    });
    element("payment-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = event.target.querySelector("button");
      button.disabled = true;
      try {
        notice("Look at the payment, and confirm or refuse it.");
        notice(await pay(event.target));
        event.target.reset();
      } catch (error) {
        notice(sentence(error), true);
      } finally {
        button.disabled = false;
      }
    });
    const changes = new EventSource(`${BASE}/changes`);
    changes.addEventListener("look", () => look().catch((error) => notice(sentence(error), true)));
    const lost = "The connection to the agent is lost; trying again.";
    changes.addEventListener("error", () => notice(lost, true));
    changes.addEventListener("open", () => {
      if (element("notice").textContent === lost) element("notice").hidden = true;
    });
    await look();
  }

  started().catch((error) => notice(sentence(error), true));
})();
