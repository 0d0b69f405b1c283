import { more } from "./en_more.js";
import { ApiError, Top, about, ago, append, bind_select_value, bind_value, child, delegate, delegated, duration, each, event, first_child, from_html, get as get$1, get$1 as get, id, if_block, index, init_select, learn, moment, onMount, only_child, pop, proxy, push, remove_input_defaults, remove_textarea_child, reset, route, send, set, set_attribute, set_class, set_text, sibling, state, t, template_effect, term, text, to_array, ui, usd, user_derived } from "./workspace.js";
// src/start/Demo.svelte
var root$2 = from_html(" <!>", 1), root_1$2 = from_html("<option> </option>"), root_2$2 = from_html("<label class=\"field\"> <select></select></label>"), root_3$2 = from_html("<li> </li>"), root_4$2 = from_html("<details><summary><span class=\"tag wait\"> </span> </summary><ul class=\"plain-list small-text\"></ul></details>"), root_5$2 = from_html("<p class=\"strip\" lang=\"en\"> </p>"), root_6$2 = from_html("<button class=\"quiet small\"> </button>"), root_7$2 = from_html("<form class=\"row\"><input maxlength=\"80\"/><button class=\"small\"> </button></form> <p class=\"soft small-text\"> </p>", 1), root_8$2 = from_html("<article><p class=\"eyebrow\"> </p> <h3> </h3> <p> </p> <p class=\"soft small-text\"><!> <!><!></p> <!> <p class=\"prompt soft\"> </p> <!> <!> <div class=\"row wrap\"><button class=\"small\"> </button> <!> <button class=\"quiet small\"> </button></div> <!></article>");
function Demo(e, n) {
	push(n, !0);
	let r = state(0), i = state(!1), a = state("");
	var o = root_8$2(), s = child(o), c = only_child(s, !0), l = sibling(s, 2), u = only_child(l, !0), d = sibling(l, 2), f = only_child(d, !0), p = sibling(d, 2);
	set_attribute(p, "lang", document.documentElement.lang);
	var m = child(p), h = (e) => {
		var r = text();
		template_effect((e) => set_text(r, `${e ?? ""} ·`), [() => t(n.demo.billing.direction === "incoming" ? "demoEarns" : "demoPays", { amount: usd(n.demo.billing.amount_micro) })]), append(e, r);
	};
	if_block(m, (e) => {
		n.demo.billing.mode === "x402" && e(h);
	});
	var g = sibling(m, 2), _ = (e) => {
		var r = root$2(), i = first_child(r, !0), a = sibling(i), o = (e) => {
			var n = text();
			n.nodeValue = ". ", append(e, n);
		};
		if_block(a, (e) => {
			n.demo.estimate_micro && e(o);
		}), template_effect((e) => set_text(i, e), [() => t("demoOffline")]), append(e, r);
	};
	if_block(g, (e) => {
		n.live || e(_);
	});
	var v = sibling(g), y = (e) => {
		var r = text();
		template_effect((e) => set_text(r, `${e ?? ""}.`), [() => n.demo.estimate_micro.high > n.demo.estimate_micro.typical ? t("demoCost", {
			typical: about(n.demo.estimate_micro.typical),
			high: about(n.demo.estimate_micro.high)
		}) : t("demoCostFlat", { typical: about(n.demo.estimate_micro.typical) })]), append(e, r);
	};
	if_block(v, (e) => {
		n.demo.estimate_micro && e(y);
	}), reset(p);
	var b = sibling(p, 2), x = (e) => {
		var i = root_2$2();
		set_attribute(i, "lang", document.documentElement.lang);
		var a = child(i, !0), o = sibling(a);
		each(o, 21, () => n.demo.suggestions, index, (e, n, r) => {
			var i = root_1$2(), a = only_child(i, !0);
			i.value = i.__value = r, template_effect(() => set_text(a, get(n).label)), append(e, i);
		}), reset(o), init_select(o), reset(i), template_effect((e) => set_text(a, e), [() => t("suggestions")]), bind_select_value(o, () => get(r), (e) => set(r, e)), append(e, i);
	};
	if_block(b, (e) => {
		n.demo.suggestions.length > 1 && e(x);
	});
	var S = sibling(b, 2), C = only_child(S), w = sibling(S, 2), T = (e) => {
		var r = root_4$2();
		set_attribute(r, "lang", document.documentElement.lang);
		var i = child(r), a = child(i), o = only_child(a, !0), s = sibling(a);
		reset(i);
		var c = sibling(i);
		each(c, 21, () => n.demo.simulated, index, (e, n) => {
			var r = root_3$2(), i = only_child(r, !0);
			template_effect(() => set_text(i, get(n))), append(e, r);
		}), reset(c), reset(r), template_effect((e, r) => {
			set_text(o, e), set_text(s, ` ${r ?? ""}`), set_attribute(c, "lang", n.demo.language);
		}, [() => t("simulatedTag"), () => t("simulatedWhat")]), append(e, r);
	};
	if_block(w, (e) => {
		n.demo.simulated.length && e(T);
	});
	var E = sibling(w, 2), D = (e) => {
		var r = root_5$2(), i = only_child(r, !0);
		template_effect(() => set_text(i, n.demo.unavailable)), append(e, r);
	};
	if_block(E, (e) => {
		n.demo.unavailable && e(D);
	});
	var O = sibling(E, 2);
	set_attribute(O, "lang", document.documentElement.lang);
	var k = child(O), A = only_child(k, !0), j = sibling(k, 2), M = (e) => {
		var r = root_6$2(), i = only_child(r, !0);
		template_effect((e) => {
			r.disabled = n.busy, set_attribute(r, "aria-describedby", `demo-${n.demo.slug ?? ""}`), set_text(i, e);
		}, [() => t("watchRecording")]), delegated("click", r, () => n.watch(n.demo)), append(e, r);
	};
	if_block(j, (e) => {
		n.demo.has_recording && e(M);
	});
	var N = sibling(j, 2), P = only_child(N, !0);
	reset(O);
	var F = sibling(O, 2), I = (e) => {
		var r = root_7$2(), i = first_child(r);
		set_attribute(i, "lang", document.documentElement.lang);
		var o = child(i);
		remove_input_defaults(o);
		var s = sibling(o), c = only_child(s, !0);
		reset(i);
		var l = sibling(i, 2);
		set_attribute(l, "lang", document.documentElement.lang);
		var u = only_child(l, !0);
		template_effect((e, n, r, i) => {
			set_attribute(o, "aria-label", e), s.disabled = n, set_text(c, r), set_text(u, i);
		}, [
			() => t("branchName"),
			() => n.busy || !get(a).trim(),
			() => t("makeIt"),
			() => t("makeMineHint")
		]), event("submit", i, (e) => {
			e.preventDefault(), n.keep(n.demo, get(a).trim());
		}), bind_value(o, () => get(a), (e) => set(a, e)), append(e, r);
	};
	if_block(F, (e) => {
		get(i) && e(I);
	}), reset(o), template_effect((e, a) => {
		set_class(o, 1, `demo chip-${n.demo.chip ?? ""}`), set_attribute(o, "lang", n.demo.language), set_attribute(o, "aria-labelledby", `demo-${n.demo.slug ?? ""}`), set_text(c, n.demo.eyebrow), set_attribute(l, "id", `demo-${n.demo.slug ?? ""}`), set_text(u, n.demo.name), set_text(f, n.demo.description), set_text(C, `“${n.demo.suggestions[get(r)]?.prompt ?? "" ?? ""}”`), k.disabled = n.busy || n.demo.unavailable !== null, set_attribute(k, "aria-describedby", `demo-${n.demo.slug ?? ""}`), set_text(A, e), set_attribute(N, "aria-expanded", get(i)), set_attribute(N, "aria-describedby", `demo-${n.demo.slug ?? ""}`), set_text(P, a);
	}, [() => t("runNow"), () => t("makeMine")]), delegated("click", k, () => n.run(n.demo, get(r))), delegated("click", N, () => {
		set(i, !get(i)), set(a, get(a) || n.demo.name, !0);
	}), append(e, o), pop();
}
delegate(["click"]);
// src/start/price.ts
function priceOf(e) {
	let { input_micro_per_mtok: n, output_micro_per_mtok: r } = e;
	return n === null || r === null ? t("priceUnknown") : n === 0 && r === 0 ? t("free") : t("pricePair", {
		input: usd(n),
		output: usd(r)
	});
}
// src/start/Models.svelte
var root$1 = from_html("<p class=\"strip\" lang=\"en\"> </p>"), root_1$1 = from_html("<span class=\"soft small-text\"> </span>"), root_2$1 = from_html("<span class=\"tag bad\"> </span>"), root_3$1 = from_html("<button class=\"quiet small\"> </button>"), root_4$1 = from_html("<label> <input placeholder=\"llama@https://models.example/v1\" spellcheck=\"false\"/></label>"), root_5$1 = from_html("<p class=\"soft small-text\"> </p>"), root_6$1 = from_html("<button type=\"button\" class=\"quiet small\"> </button>"), root_7$1 = from_html("<form class=\"keyform\"><label> <input type=\"password\" autocomplete=\"off\" spellcheck=\"false\" maxlength=\"512\"/></label> <!> <!> <div class=\"row\"><button class=\"small\"> </button><!></div></form>"), root_8$1 = from_html("<li><div class=\"row wrap\"><strong class=\"grow\"> </strong> <span> </span><!> <!> <!> <!> <!></div> <!></li>"), root_9$1 = from_html("&nbsp;<span class=\"tag\"> </span>", 1), root_10$1 = from_html("<tr><td> <!></td><td> </td><td class=\"num start\"> </td><td> </td><td> </td></tr>"), root_11$1 = from_html("<section class=\"models\" aria-labelledby=\"models-title\"><h2 id=\"models-title\"> </h2> <p class=\"soft small-text\"> </p> <!> <ul class=\"rows keys\"></ul> <p class=\"error-text\" role=\"alert\"> </p> <p role=\"status\"> </p> <details><summary> </summary><div class=\"scroll\"><table><thead><tr><th scope=\"col\"> </th><th scope=\"col\"> </th><th scope=\"col\"> </th><th scope=\"col\"> </th><th scope=\"col\"> </th></tr></thead><tbody></tbody></table></div></details></section>");
function Models(e, n) {
	push(n, !0);
	let r = state(""), i = state(""), a = state(""), o = state(!1), s = state(""), c = state(""), l = state(!1);
	function u(e) {
		((e) => {
			var n = to_array(e, 6);
			set(r, n[0], !0), set(i, n[1], !0), set(a, n[2], !0), set(s, n[3], !0), set(c, n[4], !0), set(l, n[5], !0);
		})([
			get(r) === e ? "" : e,
			"",
			"",
			"",
			"",
			!1
		]);
	}
	async function d(e) {
		if (!get(o)) {
			((e) => {
				var n = to_array(e, 4);
				set(o, n[0], !0), set(s, n[1], !0), set(c, n[2], !0), set(l, n[3], !0);
			})([
				!0,
				"",
				"",
				!1
			]);
			try {
				set(s, await e(), !0), await n.onchange();
			} catch (e) {
				set(c, e instanceof ApiError ? [e.message, e.nextStep].filter(Boolean).join(" ") : String(e), !0), set(l, e instanceof ApiError && e.code === "host.model_vendor_unreachable", !0);
			}
			set(o, !1);
		}
	}
	let f = (e, n) => d(async () => {
		let o = get(i);
		n && set(i, "");
		try {
			let s = await send("PUT", `/workspace/keys/${e}`, {
				key: o,
				test: n,
				model: get(a).trim()
			});
			return set(i, ""), set(r, ""), [s?.tested ? t("keyTested", {
				model: s.model,
				time: duration(s.took_ms)
			}) : t("keyStored"), s?.shadowed ? t("keyShadowed") : ""].filter(Boolean).join(" ");
		} catch (e) {
			throw e instanceof ApiError && e.code === "host.model_vendor_unreachable" && set(i, o, !0), e;
		}
	}), p = (e) => d(async () => {
		let n = await send("POST", `/workspace/keys/${e}/test`, { model: "" });
		return n ? t("keyWorks", {
			model: n.model,
			time: duration(n.took_ms)
		}) : "";
	}), m = (e) => d(async () => (await send("DELETE", `/workspace/keys/${e}`), t("keyForgotten")));
	var h = root_11$1(), g = child(h), _ = only_child(g, !0), v = sibling(g, 2), y = only_child(v, !0), b = sibling(v, 2), x = (e) => {
		var r = root$1(), i = only_child(r, !0);
		template_effect(() => set_text(i, n.keys.why_not)), append(e, r);
	};
	if_block(b, (e) => {
		n.keys.can_store || e(x);
	});
	var S = sibling(b, 2);
	each(S, 21, () => n.keys.keys, (e) => e.provider, (e, s) => {
		var c = root_8$1(), d = child(c), h = child(d), g = only_child(h, !0), _ = sibling(h, 2);
		let v;
		var y = only_child(_, !0), b = sibling(_), x = (e) => {
			var n = root_1$1(), r = only_child(n, !0);
			template_effect((e) => set_text(r, e), [() => moment(get(s).set_at)]), append(e, n);
		};
		if_block(b, (e) => {
			get(s).set_at && e(x);
		});
		var S = sibling(b, 2), C = (e) => {
			var n = root_2$1(), r = only_child(n, !0);
			template_effect((e) => set_text(r, e), [() => t("keyUnreadable")]), append(e, n);
		};
		if_block(S, (e) => {
			get(s).readable || e(C);
		});
		var w = sibling(S, 2), T = (e) => {
			var n = root_3$1(), i = only_child(n, !0);
			template_effect((e) => {
				set_attribute(n, "aria-expanded", get(r) === get(s).provider), set_text(i, e);
			}, [() => get(s).stored ? t("keyReplace") : t("keyEnter")]), delegated("click", n, () => u(get(s).provider)), append(e, n);
		};
		if_block(w, (e) => {
			n.keys.can_store && e(T);
		});
		var E = sibling(w, 2), D = (e) => {
			var n = root_3$1(), r = only_child(n, !0);
			template_effect((e) => {
				n.disabled = get(o), set_text(r, e);
			}, [() => t("keyTest")]), delegated("click", n, () => p(get(s).provider)), append(e, n);
		};
		if_block(E, (e) => {
			get(s).source !== "none" && get(s).provider !== "compatible" && e(D);
		});
		var O = sibling(E, 2), k = (e) => {
			var n = root_3$1(), r = only_child(n, !0);
			template_effect((e) => {
				n.disabled = get(o), set_text(r, e);
			}, [() => t("keyForget")]), delegated("click", n, () => m(get(s).provider)), append(e, n);
		};
		if_block(O, (e) => {
			get(s).stored && e(k);
		}), reset(d);
		var A = sibling(d, 2), j = (e) => {
			var n = root_7$1(), r = child(n), c = child(r, !0), u = sibling(c);
			remove_input_defaults(u), reset(r);
			var d = sibling(r, 2), p = (e) => {
				var n = root_4$1(), r = child(n, !0), i = sibling(r);
				remove_input_defaults(i), reset(n), template_effect((e) => set_text(r, e), [() => t("keyModel")]), bind_value(i, () => get(a), (e) => set(a, e)), append(e, n);
			};
			if_block(d, (e) => {
				get(s).provider === "compatible" && e(p);
			});
			var m = sibling(d, 2), h = (e) => {
				var n = root_5$1(), r = only_child(n, !0);
				template_effect((e) => set_text(r, e), [() => t("keyAddress", { address: get(s).address })]), append(e, n);
			};
			if_block(m, (e) => {
				get(s).address && e(h);
			});
			var g = sibling(m, 2), _ = child(g), v = only_child(_, !0), y = sibling(_), b = (e) => {
				var n = root_6$1(), r = only_child(n, !0);
				template_effect((e, i) => {
					n.disabled = e, set_text(r, i);
				}, [() => get(o) || !get(i).trim(), () => t("keyStoreUntested")]), delegated("click", n, () => f(get(s).provider, !1)), append(e, n);
			};
			if_block(y, (e) => {
				get(l) && e(b);
			}), reset(g), reset(n), template_effect((e, n, r) => {
				set_text(c, e), _.disabled = n, set_text(v, r);
			}, [
				() => t("keyOf", { provider: get(s).provider }),
				() => get(o) || !get(i).trim(),
				() => get(o) ? t("keyTesting") : t("keyTestStore")
			]), event("submit", n, (e) => {
				e.preventDefault(), f(get(s).provider, !0);
			}), bind_value(u, () => get(i), (e) => set(i, e)), append(e, n);
		};
		if_block(A, (e) => {
			get(r) === get(s).provider && e(j);
		}), reset(c), template_effect((e) => {
			set_text(g, get(s).provider), v = set_class(_, 1, "tag", null, v, { good: get(s).source !== "none" }), set_text(y, e);
		}, [() => term("key_", get(s).source)]), append(e, c);
	}), reset(S);
	var C = sibling(S, 2), w = only_child(C, !0), T = sibling(C, 2), E = only_child(T, !0), D = sibling(T, 2), O = child(D), k = only_child(O, !0), A = sibling(O), j = child(A), M = child(j), N = child(M), P = child(N), F = only_child(P, !0), I = sibling(P), L = only_child(I, !0), R = sibling(I), z = only_child(R, !0), B = sibling(R), V = only_child(B, !0), ee = sibling(B), H = only_child(ee, !0);
	reset(N), reset(M);
	var U = sibling(M);
	each(U, 21, () => n.models, index, (e, n) => {
		var r = root_10$1(), i = child(r), a = child(i, !0), o = sibling(a), s = (e) => {
			var n = root_9$1(), r = sibling(first_child(n)), i = only_child(r, !0);
			template_effect((e) => set_text(i, e), [() => t("isDefault")]), append(e, n);
		};
		if_block(o, (e) => {
			get(n).is_default && e(s);
		}), reset(i);
		var c = sibling(i), l = only_child(c, !0), u = sibling(c), d = only_child(u, !0), f = sibling(u), p = only_child(f, !0), m = sibling(f), h = only_child(m, !0);
		reset(r), template_effect((e, r) => {
			set_text(a, get(n).label), set_text(l, get(n).provider), set_text(d, e), set_text(p, get(n).priced_on ?? "—"), set_text(h, r);
		}, [() => priceOf(get(n)), () => get(n).ready ? t("yes") : term("why_", get(n).why_code)]), append(e, r);
	}), reset(U), reset(j), reset(A), reset(D), reset(h), template_effect((e, n, r, i, a, o, l, u) => {
		set_text(_, e), set_text(y, n), set_text(w, get(c)), set_text(E, get(s)), set_text(k, r), set_text(F, i), set_text(L, a), set_text(z, o), set_text(V, l), set_text(H, u);
	}, [
		() => t("modelsAndKeys"),
		() => t("keysHint"),
		() => t("modelPrices", { n: n.models.length }),
		() => t("provider"),
		() => t("vendor"),
		() => t("price"),
		() => t("pricedOn"),
		() => t("ready")
	]), append(e, h), pop();
}
delegate(["click"]);
// src/Home.svelte
var root = from_html("<button> </button>"), root_1 = from_html("<a class=\"button\"> </a>"), root_2 = from_html("<p class=\"soft\"> </p><button> </button>", 1), root_3 = from_html("<option> </option>"), root_4 = from_html("<label class=\"field\"> <select><option> </option><!></select></label>"), root_5 = from_html("<button class=\"quiet\" aria-controls=\"models\"> </button>"), root_6 = from_html("<div id=\"models\"><!></div>"), root_7 = from_html("<label class=\"field inline\"> <select class=\"small\"><option> </option><!></select></label>"), root_8 = from_html("<section aria-labelledby=\"demos-title\"><div class=\"row between wrap\"><h2 id=\"demos-title\"> </h2> <!></div> <div class=\"demos\"></div></section>"), root_9 = from_html("<p class=\"soft\"> </p>"), root_10 = from_html("<span class=\"tag wait\"> </span>"), root_11 = from_html("<li><a><span class=\"grow\"> </span> <!><span class=\"soft num\"> </span> <time class=\"soft\"> </time></a></li>"), root_12 = from_html("<ul class=\"sessions\"></ul>"), root_13 = from_html("<div class=\"page\"><!> <main class=\"home\" id=\"conversation\"><h1> </h1> <div class=\"cards\"><section class=\"card first\" aria-labelledby=\"card-watch\"><h2 id=\"card-watch\"> </h2> <p> </p> <!></section> <section class=\"card first\" aria-labelledby=\"card-run\"><h2 id=\"card-run\"> </h2> <p> </p> <!></section> <section class=\"card first\" aria-labelledby=\"card-talk\"><h2 id=\"card-talk\"> </h2> <label class=\"sr\" for=\"first-words\"> </label> <textarea id=\"first-words\" rows=\"2\"></textarea> <!> <div class=\"row wrap\"><button> </button><!></div></section></div> <!> <!> <section aria-labelledby=\"sessions-title\"><div class=\"row between wrap\"><h2 id=\"sessions-title\"> </h2> <input type=\"search\"/></div> <!></section></main></div>");
function Home(e, n) {
	push(n, !0);
	let r = state(null), i = state(null), a = state([]), o = state(""), s = state(null), c = state(proxy(route.get("q"))), l = state(""), u = state(""), d = state(""), f = state(!1), p = state(!1), m = user_derived(() => (get(r) ?? []).filter((e) => `${e.name} ${e.session_id}`.toLowerCase().includes(get(c).toLowerCase()))), h = user_derived(() => (get(i) ?? []).find((e) => e.has_recording)), g = user_derived(() => (get(i) ?? []).find((e) => !e.unavailable)), _ = user_derived(() => get(r)?.[0]), v = user_derived(() => get(a).filter((e) => e.ready)), y = user_derived(() => get(v).filter((e) => e.provider !== "scripted"));
	async function b() {
		await get$1("/workspace/models").then((e) => {
			set(a, e.models), set(o, e.default, !0);
		}, () => void 0), await get$1("/workspace/keys").then((e) => set(s, e), () => void 0);
	}
	onMount(() => {
		ui.attempt(async () => set(r, await get$1("/sessions"))), get$1("/workspace/demos").then((e) => set(i, e.demos), () => set(i, [])), b();
	});
	function x(e, n, r = {}) {
		e.metaKey || e.ctrlKey || e.shiftKey || (e.preventDefault(), route.go(n, r));
	}
	async function S(e) {
		get(f) || (set(f, !0), await ui.attempt(e), set(f, !1));
	}
	let C = (e, n) => `/workspace/demos/${encodeURIComponent(e.slug)}/${n}`, w = (e) => S(async () => {
		let n = await send("POST", C(e, "recording"));
		n && route.go(n.session_id, { at: "1" });
	}), T = (e, n) => S(async () => {
		let r = await send("POST", C(e, "runs"), {
			suggestion: n,
			model: get(d) || null
		});
		r && route.go(r.session_id);
	}), E = (e, n) => S(async () => {
		let r = await send("POST", C(e, "copies"), {
			name: n,
			model: get(u) || null
		});
		r && route.go(r.session_id);
	}), D = (e) => S(async () => {
		let n = await send("POST", "/sessions", {
			name: e.trim().slice(0, 80),
			...get(u) ? { provider: get(u) } : {}
		});
		n && (e.trim() && await send("POST", `/sessions/${encodeURIComponent(n.session_id)}/runs`, {
			objective: e,
			wait: !1
		}), route.go(n.session_id));
	});
	var O = root_13(), k = child(O);
	Top(k, {});
	var A = sibling(k, 2), j = child(A), M = only_child(j, !0), N = sibling(j, 2), P = child(N), F = child(P), I = only_child(F, !0), L = sibling(F, 2), R = only_child(L, !0), z = sibling(L, 2), B = (e) => {
		var n = root(), r = only_child(n, !0);
		template_effect((e) => {
			n.disabled = get(f), set_text(r, e);
		}, [() => t("watchIt", { name: get(h).name })]), delegated("click", n, () => w(get(h))), append(e, n);
	}, V = (e) => {
		var n = root_1(), r = only_child(n, !0);
		template_effect((e) => {
			set_attribute(n, "href", `/workspace/${e ?? ""}?at=1`), set_text(r, get(_).name || get(_).session_id);
		}, [() => encodeURIComponent(get(_).session_id)]), delegated("click", n, (e) => x(e, get(_).session_id, { at: "1" })), append(e, n);
	}, ee = (e) => {
		var n = root_2(), r = first_child(n), i = only_child(r, !0), a = sibling(r), o = only_child(a, !0);
		template_effect((e, n) => {
			set_text(i, e), a.disabled = get(f), set_text(o, n);
		}, [() => t("cardWatchNone"), () => t("start")]), delegated("click", a, () => D(t("startTask"))), append(e, n);
	};
	if_block(z, (e) => {
		get(h) ? e(B) : get(_) ? e(V, 1) : get(i) !== null && e(ee, 2);
	}), reset(P);
	var H = sibling(P, 2), U = child(H), te = only_child(U, !0), W = sibling(U, 2), ne = only_child(W, !0), re = sibling(W, 2), ie = (e) => {
		var n = root(), r = only_child(n, !0);
		template_effect((e) => {
			n.disabled = get(f), set_text(r, e);
		}, [() => t("runIt", { name: get(g).name })]), delegated("click", n, () => T(get(g), 0)), append(e, n);
	}, ae = (e) => {
		var n = root_2(), r = first_child(n), i = only_child(r, !0), a = sibling(r), o = only_child(a, !0);
		template_effect((e, n) => {
			set_text(i, e), a.disabled = get(f), set_text(o, n);
		}, [() => t("cardRunNone"), () => t("start")]), delegated("click", a, () => D(t("startTask"))), append(e, n);
	};
	if_block(re, (e) => {
		get(g) ? e(ie) : get(i) !== null && e(ae, 1);
	}), reset(H);
	var G = sibling(H, 2), K = child(G), oe = only_child(K, !0), q = sibling(K, 2), se = only_child(q, !0), J = sibling(q, 2);
	remove_textarea_child(J);
	var Y = sibling(J, 2), ce = (e) => {
		var n = root_4(), r = child(n), i = sibling(r), s = child(i), c = only_child(s, !0);
		s.value = s.__value = "";
		var l = sibling(s);
		each(l, 17, () => get(a), (e) => e.id, (e, n) => {
			var r = root_3(), i = only_child(r), a = {};
			template_effect((e, o) => {
				r.disabled = !get(n).ready, set_text(i, `${get(n).label ?? ""} · ${e ?? ""}${o ?? ""}`), a !== (a = get(n).id) && (r.value = (r.__value = a) ?? "");
			}, [() => priceOf(get(n)), () => get(n).ready ? "" : ` (${t("notReady")})`]), append(e, r);
		}), reset(i), init_select(i), reset(n), template_effect((e, n) => {
			set_text(r, `${e ?? ""} `), set_text(c, n);
		}, [() => t("provider"), () => t("usualModel", { name: id(get(o), 14) })]), bind_select_value(i, () => get(u), (e) => set(u, e)), append(e, n);
	};
	if_block(Y, (e) => {
		get(a).length && e(ce);
	});
	var X = sibling(Y, 2), Z = child(X), le = only_child(Z, !0), ue = sibling(Z), de = (e) => {
		var n = root_5(), r = only_child(n, !0);
		template_effect((e) => {
			set_attribute(n, "aria-expanded", get(p)), set_text(r, e);
		}, [() => t("modelsAndKeys")]), delegated("click", n, () => set(p, !get(p))), append(e, n);
	};
	if_block(ue, (e) => {
		get(s) && e(de);
	}), reset(X), reset(G), reset(N);
	var fe = sibling(N, 2), pe = (e) => {
		var n = root_6();
		Models(child(n), {
			get models() {
				return get(a);
			},
			get keys() {
				return get(s);
			},
			onchange: b
		}), reset(n), append(e, n);
	};
	if_block(fe, (e) => {
		get(p) && get(s) && e(pe);
	});
	var me = sibling(fe, 2), he = (e) => {
		var n = root_8(), r = child(n), a = child(r), o = only_child(a, !0), s = sibling(a, 2), c = (e) => {
			var n = root_7(), r = child(n), i = sibling(r), a = child(i), o = only_child(a, !0);
			a.value = a.__value = "";
			var s = sibling(a);
			each(s, 17, () => get(y), (e) => e.id, (e, n) => {
				var r = root_3(), i = only_child(r, !0), a = {};
				template_effect(() => {
					set_text(i, get(n).label), a !== (a = get(n).id) && (r.value = (r.__value = a) ?? "");
				}), append(e, r);
			}), reset(i), init_select(i), reset(n), template_effect((e, n) => {
				set_text(r, `${e ?? ""} `), set_text(o, n);
			}, [() => t("demoModel"), () => t("demoScript")]), bind_select_value(i, () => get(d), (e) => set(d, e)), append(e, n);
		};
		if_block(s, (e) => {
			get(y).length && e(c);
		}), reset(r);
		var l = sibling(r, 2);
		each(l, 21, () => get(i), (e) => e.slug, (e, n) => {
			{
				let r = user_derived(() => get(d) !== "");
				Demo(e, {
					get demo() {
						return get(n);
					},
					get busy() {
						return get(f);
					},
					watch: w,
					run: T,
					keep: E,
					get live() {
						return get(r);
					}
				});
			}
		}), reset(l), reset(n), template_effect((e) => set_text(o, e), [() => t("demos")]), append(e, n);
	};
	if_block(me, (e) => {
		get(i)?.length && e(he);
	});
	var ge = sibling(me, 2), Q = child(ge), _e = child(Q), ve = only_child(_e, !0), $ = sibling(_e, 2);
	remove_input_defaults($), reset(Q);
	var ye = sibling(Q, 2), be = (e) => {
		var n = root_9(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("loading")]), append(e, n);
	}, xe = (e) => {
		var n = root_9(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("noSessions")]), append(e, n);
	}, Se = (e) => {
		var n = root_12();
		each(n, 21, () => get(m), (e) => e.session_id, (e, n) => {
			var r = root_11(), i = child(r), a = child(i), o = only_child(a, !0), s = sibling(a, 2), c = (e) => {
				var n = root_10(), r = only_child(n, !0);
				template_effect((e) => set_text(r, e), [() => t("status_running")]), append(e, n);
			};
			if_block(s, (e) => {
				get(n).state === "open" && e(c);
			});
			var l = sibling(s), u = only_child(l, !0), d = sibling(l, 2), f = only_child(d, !0);
			reset(i), reset(r), template_effect((e, r, a, s) => {
				set_attribute(i, "href", `/workspace/${e ?? ""}`), set_text(o, get(n).name || get(n).session_id), set_text(u, r), set_attribute(d, "datetime", a), set_text(f, s);
			}, [
				() => encodeURIComponent(get(n).session_id),
				() => t("eventsN", { n: get(n).head }),
				() => new Date(get(n).updated_us / 1e3).toISOString(),
				() => ago(get(n).updated_us)
			]), delegated("click", i, (e) => x(e, get(n).session_id)), append(e, r);
		}), reset(n), append(e, n);
	};
	if_block(ye, (e) => {
		get(r) === null ? e(be) : get(m).length ? e(Se, -1) : e(xe, 1);
	}), reset(ge), reset(A), reset(O), template_effect((e, n, r, i, a, o, s, c, l, u, d, p) => {
		set_text(M, e), set_text(I, n), set_text(R, r), set_text(te, i), set_text(ne, a), set_text(oe, o), set_text(se, s), set_attribute(J, "placeholder", c), Z.disabled = get(f), set_text(le, l), set_text(ve, u), set_attribute($, "placeholder", d), set_attribute($, "aria-label", p);
	}, [
		() => ui.about?.agent ?? t("workspace"),
		() => t("cardWatch"),
		() => t("cardWatchBody"),
		() => t("cardRun"),
		() => t("cardRunBody"),
		() => t("cardTalk"),
		() => t("message"),
		() => t("startTask"),
		() => t("start"),
		() => t("sessions"),
		() => t("filterSessions"),
		() => t("filterSessions")
	]), bind_value(J, () => get(l), (e) => set(l, e)), delegated("click", Z, () => D(get(l))), delegated("input", $, () => route.set({ q: get(c) }, !0)), bind_value($, () => get(c), (e) => set(c, e)), append(e, O), pop();
}
// src/home.ts
delegate(["click", "input"]), learn(more);
export { Home };
