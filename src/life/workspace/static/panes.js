import { more } from "./en_more.js";
import { Approval, Copy, Diff, FAMILIES, Json, PaymentCard, PaymentQuestion, Ruler, Source, VirtualList, advance, append, at, between, bind_select_value, bind_this, bind_value, child, clsx, commands, comment, decimal, delegate, delegated, duration, each, emptyState, event, family, first_child, from_html, from_svg, get as get$1, get$1 as get, id, if_block, index, init_select, kindName, learn, micro, moment, next, noop, offline, onMount, only_child, percent, pop, prefer, prefs, prop, proxy, push, remove_input_defaults, remove_textarea_child, reset, route, select_option, send, set, set_attribute, set_checked, set_class, set_style, set_text, set_value, sibling, snippet, state, summary, t, template_effect, term, text, time, toJournal, to_array, ui, untrack, usd, user_derived, user_effect, whole } from "./workspace.js";
// src/app/daemon.svelte.ts
var Told = class {
	#e = state(null);
	get value() {
		return get(this.#e);
	}
	set value(e) {
		set(this.#e, e);
	}
	#t = state(0);
	get read() {
		return get(this.#t);
	}
	set read(e) {
		set(this.#t, e, !0);
	}
	constructor(e, n) {
		user_effect(() => {
			if (e.settled.totals.steps, e.settled.status, offline || e.position !== null) return;
			let r = setTimeout(() => {
				get$1(at(e.id, n, { branch: e.branch })).then((e) => {
					this.value = e, this.read = Date.now();
				}, () => void 0);
			}, 150);
			return () => clearTimeout(r);
		});
	}
}, root$21 = from_html("<div><span> </span><span class=\"num\"> </span> <span class=\"meter-track\" role=\"meter\"><span></span></span></div>");
function Meter(e, n) {
	push(n, !0);
	let r = prop(n, "bad", 3, !1), i = user_derived(() => Math.max(0, Math.min(1, n.value)));
	var a = root$21();
	let o;
	var s = child(a), c = only_child(s, !0), l = sibling(s), u = only_child(l, !0), d = sibling(l, 2);
	set_attribute(d, "aria-valuemin", 0), set_attribute(d, "aria-valuemax", 100);
	var f = child(d);
	let p;
	reset(d), reset(a), template_effect((e, s) => {
		o = set_class(a, 1, "meter", null, o, { bad: r() }), set_text(c, n.label), set_text(u, e), set_attribute(d, "aria-label", n.label), set_attribute(d, "aria-valuenow", s), p = set_style(f, "", p, { width: `${get(i) * 100}%` });
	}, [() => percent(n.value), () => Math.round(get(i) * 100)]), append(e, a), pop();
}
// src/panels/Autonomic.svelte
var root$20 = from_html("<p class=\"blank\"> </p>"), root_1$16 = from_svg("<path></path>"), root_2$14 = from_html("<span> </span>"), root_3$13 = from_html("<section class=\"pad\"><h3> <span class=\"soft\"> </span></h3> <svg class=\"spark\" viewBox=\"0 0 300 60\" role=\"img\" preserveAspectRatio=\"none\"></svg> <p class=\"legend small-text\"></p></section>"), root_4$12 = from_html("<dl class=\"tiles\"><div><dt> </dt><dd> </dd></div> <div><dt> </dt><dd> </dd></div> <div><dt> </dt><dd> </dd></div></dl> <section class=\"pad\"><!> <!> <!> <!> <!></section> <!> <section class=\"pad\"><h3> </h3> <dl class=\"facts\"><dt> </dt><dd> </dd><dt> </dt><dd> </dd> <dt> </dt><dd> </dd><dt> </dt><dd> </dd></dl></section>", 1), root_5$10 = from_html("<p class=\"soft\"> </p>"), root_6$9 = from_html("<dl class=\"facts\"><dt> </dt><dd> </dd><dt> </dt><dd> </dd><dt> </dt><dd> </dd> <dt> </dt><dd> </dd><dt> </dt><dd> </dd><dt> </dt><dd> </dd></dl><p class=\"soft\"> </p>", 1), root_7$9 = from_html("<dt> </dt><dd> </dd>", 1), root_8$7 = from_html("<section class=\"pad\"><h3> <span class=\"soft\"> </span></h3> <dl class=\"facts\"><dt> </dt><dd> </dd><dt> </dt><dd> </dd><!></dl></section>"), root_9$5 = from_html("<li><button class=\"quiet small seq\"> </button> <span class=\"soft\"> </span></li>"), root_10$3 = from_html("<section class=\"pad\"><h3> </h3><ul class=\"rows\"></ul></section>"), root_11$3 = from_html("<div class=\"scrolls\" role=\"group\" tabindex=\"0\"><!> <section class=\"pad\"><h3> </h3> <!></section> <!> <!> <!></div> <!>", 1);
function Autonomic(e, n) {
	push(n, !0);
	let r = new Told(untrack(() => n.view), "/autonomic"), i = new Told(untrack(() => n.view), "/cost"), a = user_derived(() => n.view.state), o = user_derived(() => get(a).vector), s = [
		"progress",
		"uncertainty",
		"context_pressure",
		"side_effect_pressure"
	], c = user_derived(() => ({
		progress: t("progress"),
		uncertainty: t("uncertainty"),
		context_pressure: t("context"),
		side_effect_pressure: t("sideEffects")
	})), l = (e, n) => n.map((r, i) => `${i ? "L" : "M"}${(i / Math.max(1, n.length - 1) * 300).toFixed(1)},${(58 - Math.max(0, Math.min(1, r[e])) * 56).toFixed(1)}`).join(""), u = (e) => t(e ? "yes" : "no");
	var d = root_11$3(), f = first_child(d), p = child(f), m = (e) => {
		var n = root$20(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("noVector")]), append(e, n);
	}, h = (e) => {
		var n = root_4$12(), r = first_child(n), i = child(r), u = child(i), d = only_child(u, !0), f = sibling(u), p = only_child(f, !0);
		reset(i);
		var m = sibling(i, 2), h = child(m), g = only_child(h, !0), _ = sibling(h), v = only_child(_, !0);
		reset(m);
		var y = sibling(m, 2), b = child(y), x = only_child(b, !0), S = sibling(b), C = only_child(S, !0);
		reset(y), reset(r);
		var w = sibling(r, 2), T = child(w);
		{
			let e = user_derived(() => t("progress"));
			Meter(T, {
				get label() {
					return get(e);
				},
				get value() {
					return get(o).progress;
				}
			});
		}
		var E = sibling(T, 2);
		{
			let e = user_derived(() => t("uncertainty")), n = user_derived(() => get(o).uncertainty > .85);
			Meter(E, {
				get label() {
					return get(e);
				},
				get value() {
					return get(o).uncertainty;
				},
				get bad() {
					return get(n);
				}
			});
		}
		var D = sibling(E, 2);
		{
			let e = user_derived(() => t("context")), n = user_derived(() => get(o).context_pressure > .8);
			Meter(D, {
				get label() {
					return get(e);
				},
				get value() {
					return get(o).context_pressure;
				},
				get bad() {
					return get(n);
				}
			});
		}
		var O = sibling(D, 2);
		{
			let e = user_derived(() => t("sideEffects")), n = user_derived(() => get(o).side_effect_pressure > .8);
			Meter(O, {
				get label() {
					return get(e);
				},
				get value() {
					return get(o).side_effect_pressure;
				},
				get bad() {
					return get(n);
				}
			});
		}
		var k = sibling(O, 2);
		{
			let e = user_derived(() => t("humanDependency"));
			Meter(k, {
				get label() {
					return get(e);
				},
				get value() {
					return get(o).human_dependency;
				}
			});
		}
		reset(w);
		var A = sibling(w, 2), j = (e) => {
			var n = root_3$13(), r = child(n), i = child(r), o = sibling(i), u = only_child(o);
			reset(r);
			var d = sibling(r, 2);
			each(d, 21, () => s, index, (e, n, r) => {
				var i = root_1$16();
				set_class(i, 0, `line${r}`), template_effect((e) => set_attribute(i, "d", e), [() => l(get(n), get(a).samples)]), append(e, i);
			}), reset(d);
			var f = sibling(d, 2);
			each(f, 21, () => s, index, (e, n, r) => {
				var i = root_2$14();
				set_class(i, 1, `key line${r}`);
				var a = only_child(i, !0);
				template_effect(() => set_text(a, get(c)[get(n)])), append(e, i);
			}), reset(f), reset(n), template_effect((e, n, r) => {
				set_text(i, `${e ?? ""} `), set_text(u, `#${get(a).samples[0]?.seq ?? ""} – #${n ?? ""}`), set_attribute(d, "aria-label", r);
			}, [
				() => t("overTime"),
				() => get(a).samples.at(-1)?.seq,
				() => t("overTime")
			]), append(e, n);
		};
		if_block(A, (e) => {
			get(a).samples.length > 1 && e(j);
		});
		var M = sibling(A, 2), N = child(M), P = only_child(N, !0), F = sibling(N, 2), I = child(F), L = only_child(I, !0), R = sibling(I), z = only_child(R, !0), B = sibling(R), V = only_child(B, !0), H = sibling(B), U = only_child(H, !0), W = sibling(H, 2), G = only_child(W, !0), K = sibling(W), q = only_child(K, !0), J = sibling(K), Y = only_child(J, !0), X = sibling(J), Z = only_child(X, !0);
		reset(F), reset(M), template_effect((e, n, r, i, a, o, s, c, l, u, f, m, h, _, y) => {
			set_text(d, e), set_text(p, n), set_text(g, r), set_text(v, i), set_text(x, a), set_text(C, o), set_text(P, s), set_text(L, c), set_text(z, l), set_text(V, u), set_text(U, f), set_text(G, m), set_text(q, h), set_text(Y, _), set_text(Z, y);
		}, [
			() => t("mode"),
			() => get(a).mode || t("notReported"),
			() => t("risk"),
			() => get(o).risk || t("notReported"),
			() => t("errorStreak"),
			() => whole(get(o).error_streak),
			() => t("budget"),
			() => t("budgetTokens"),
			() => whole(get(o).tokens_remaining),
			() => t("budgetTime"),
			() => duration(get(o).time_remaining_ms),
			() => t("budgetCalls"),
			() => whole(get(o).tool_calls_remaining),
			() => t("budgetErrors"),
			() => whole(get(o).error_budget_remaining)
		]), append(e, n);
	};
	if_block(p, (e) => {
		get(o) ? e(h, -1) : e(m);
	});
	var g = sibling(p, 2), _ = child(g), v = only_child(_, !0), y = sibling(_, 2), b = (e) => {
		var n = root_5$10(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("gatesNone")]), append(e, n);
	}, x = (e) => {
		var n = root_6$9(), r = first_child(n), i = child(r), o = only_child(i, !0), s = sibling(i), c = only_child(s, !0), l = sibling(s), d = only_child(l, !0), f = sibling(l), p = only_child(f, !0), m = sibling(f), h = only_child(m, !0), g = sibling(m), _ = only_child(g, !0), v = sibling(g, 2), y = only_child(v, !0), b = sibling(v), x = only_child(b, !0), S = sibling(b), C = only_child(S, !0), w = sibling(S), T = only_child(w, !0), E = sibling(w), D = only_child(E, !0), O = sibling(E), k = only_child(O, !0);
		reset(r);
		var A = sibling(r), j = only_child(A);
		template_effect((e, n, r, i, s, l, u, f, m, g, v) => {
			set_text(o, e), set_text(c, n), set_text(d, r), set_text(p, i), set_text(h, s), set_text(_, l), set_text(y, u), set_text(x, get(a).gates.approval_for_risk), set_text(C, f), set_text(T, m), set_text(D, g), set_text(k, v), set_text(j, `${get(a).gates.reason ?? ""} #${get(a).gates.seq ?? ""}`);
		}, [
			() => t("gateSideEffects"),
			() => u(get(a).gates.side_effects),
			() => t("gateNetwork"),
			() => u(get(a).gates.network),
			() => t("gateShell"),
			() => u(get(a).gates.shell),
			() => t("gateApproval"),
			() => t("gateCalls"),
			() => whole(get(a).gates.tool_calls),
			() => t("gateMutations"),
			() => whole(get(a).gates.mutations)
		]), append(e, n);
	};
	if_block(y, (e) => {
		get(a).gates ? e(x, -1) : e(b);
	}), reset(g);
	var S = sibling(g, 2), C = (e) => {
		var n = root_8$7(), a = child(n), o = child(a), s = sibling(o), c = only_child(s, !0);
		reset(a);
		var l = sibling(a, 2), u = child(l), d = only_child(u, !0), f = sibling(u), p = only_child(f), m = sibling(f), h = only_child(m, !0), g = sibling(m), _ = only_child(g, !0), v = sibling(g), y = (e) => {
			var n = root_7$9(), r = first_child(n), a = only_child(r, !0), o = sibling(r), s = only_child(o, !0);
			template_effect((e) => {
				set_text(a, e), set_text(s, i.value.economic_mode);
			}, [() => t("economicMode")]), append(e, n);
		};
		if_block(v, (e) => {
			i.value && e(y);
		}), reset(l), reset(n), template_effect((e, n, i, a, s, l) => {
			set_text(o, `${e ?? ""} `), set_text(c, n), set_text(d, i), set_text(p, `${a ?? ""} · ${s ?? ""}`), set_text(h, l), set_text(_, r.value.rationale);
		}, [
			() => t("ruling"),
			() => new Date(r.read).toLocaleTimeString(),
			() => t("context"),
			() => term("ruling_", r.value.ruling),
			() => percent(r.value.pressure),
			() => t("why")
		]), append(e, n);
	};
	if_block(S, (e) => {
		r.value && n.view.position === null && e(C);
	});
	var w = sibling(S, 2), T = (e) => {
		var n = root_10$3(), r = child(n), i = only_child(r, !0), o = sibling(r);
		each(o, 21, () => get(a).rulings.slice(-12).toReversed(), index, (e, n) => {
			var r = root_9$5(), i = child(r), a = only_child(i), o = sibling(i), s = sibling(o), c = only_child(s, !0);
			reset(r), template_effect(() => {
				set_text(a, `#${get(n).seq ?? ""}`), set_text(o, ` ${get(n).type ?? ""} `), set_text(c, get(n).detail);
			}), delegated("click", i, () => route.set({
				mid: "journal",
				event: get(n).seq
			})), append(e, r);
		}), reset(o), reset(n), template_effect((e) => set_text(i, e), [() => t("rulings")]), append(e, n);
	};
	if_block(w, (e) => {
		get(a).rulings.length && e(T);
	});
	var E = sibling(w, 2), D = (e) => {
		var n = root_10$3(), r = child(n), i = only_child(r, !0), o = sibling(r);
		each(o, 21, () => get(a).modes.slice(-12).toReversed(), index, (e, n) => {
			var r = root_9$5(), i = child(r), a = only_child(i), o = sibling(i), s = sibling(o), c = only_child(s, !0);
			reset(r), template_effect(() => {
				set_text(a, `#${get(n).seq ?? ""}`), set_text(o, ` ${get(n).was ?? ""} → ${get(n).now ?? ""} `), set_text(c, get(n).reason);
			}), delegated("click", i, () => route.set({
				mid: "journal",
				event: get(n).seq
			})), append(e, r);
		}), reset(o), reset(n), template_effect((e) => set_text(i, e), [() => t("modesHistory")]), append(e, n);
	};
	if_block(E, (e) => {
		get(a).modes.length && e(D);
	}), reset(f);
	var O = sibling(f, 2);
	{
		let e = user_derived(() => get(o)?.seq);
		Source(O, {
			get view() {
				return n.view;
			},
			events: "StateEstimated, ModeChanged, GatesUpdated, autonomic.*",
			get seq() {
				return get(e);
			}
		});
	}
	template_effect((e, n) => {
		set_attribute(f, "aria-label", e), set_text(v, n);
	}, [() => t("autonomic"), () => t("gates")]), append(e, d), pop();
}
delegate(["click"]);
// src/lib/Dialog.svelte
var root$19 = from_html("<dialog><div class=\"dialog\"><header><h2> </h2><button class=\"quiet icon\">✕</button></header> <!></div></dialog>");
function Dialog(e, n) {
	push(n, !0);
	let r = prop(n, "wide", 3, !1), i = prop(n, "beside", 3, !1), a = state(void 0);
	user_effect(() => {
		get(a) && !get(a).open && (i() ? get(a).show() : get(a).showModal());
	});
	let o = !1;
	function s() {
		get(a)?.open && get(a).close(), o || n.onclose(), o = !0;
	}
	var c = root$19();
	let l;
	var u = child(c), d = child(u), f = child(d), p = only_child(f, !0), m = sibling(f);
	reset(d);
	var h = sibling(d, 2);
	snippet(h, () => n.children), reset(u), reset(c), bind_this(c, (e) => set(a, e), () => get(a)), template_effect((e) => {
		set_attribute(c, "aria-label", n.title), l = set_class(c, 1, "", null, l, {
			wide: r(),
			beside: i()
		}), set_text(p, n.title), set_attribute(m, "aria-label", e);
	}, [() => t("close")]), event("close", c, s), event("cancel", c, (e) => {
		e.target === get(a) && (e.preventDefault(), s());
	}), delegated("click", c, (e) => e.target === get(a) && !i() && s()), delegated("keydown", c, (e) => {
		i() && e.key === "Escape" && (e.stopPropagation(), s());
	}), delegated("click", m, s), append(e, c), pop();
}
delegate(["click", "keydown"]);
// src/panels/Branches.svelte
var root$18 = from_html("<p class=\"soft\"> </p>"), root_1$15 = from_html("<button class=\"quiet small\"> </button>"), root_2$13 = from_html("<li><button class=\"quiet small\"> </button> <span class=\"soft\"> <!><!></span> <!></li>"), root_3$12 = from_html("<ul class=\"rows branches\"></ul>"), root_4$11 = from_html("<!> <div class=\"row\"><button class=\"quiet\"> </button><button class=\"quiet\"> </button></div>", 1);
function Branches(e, n) {
	push(n, !0);
	let r = state(null), i = () => ui.attempt(async () => set(r, (await get$1(at(n.view.id, "/branches"))).branches));
	(async () => i())();
	function a(e) {
		ui.overlay = "", route.go(n.view.id, e === "main" ? {} : { branch: e });
	}
	let o = (e) => ui.attempt(async () => {
		await send("POST", at(n.view.id, `/branches/${encodeURIComponent(e.branch_id)}/merge`), { target_branch: e.parent_branch ?? "main" }), await i();
	}), s = (e) => {
		let n = 0, i = e;
		for (; i?.parent_branch && n < 8;) n++, i = get(r)?.find((e) => e.branch_id === i?.parent_branch);
		return n;
	};
	{
		let i = user_derived(() => t("branches"));
		Dialog(e, {
			get title() {
				return get(i);
			},
			onclose: () => ui.overlay === "branches" && (ui.overlay = ""),
			children: (e, i) => {
				var c = root_4$11(), l = first_child(c), u = (e) => {
					var n = root$18(), r = only_child(n, !0);
					template_effect((e) => set_text(r, e), [() => t("loading")]), append(e, n);
				}, d = (e) => {
					var i = root_3$12();
					each(i, 21, () => get(r), (e) => e.branch_id, (e, r) => {
						var i = root_2$13();
						let c;
						var l = child(i), u = only_child(l), d = sibling(l, 2), f = child(d, !0), p = sibling(f), m = (e) => {
							var n = text();
							template_effect((e) => set_text(n, `· ${e ?? ""}`), [() => t("forkedAt", {
								parent: get(r).parent_branch,
								n: get(r).fork_sequence
							})]), append(e, n);
						};
						if_block(p, (e) => {
							get(r).parent_branch && e(m);
						});
						var h = sibling(p), g = (e) => {
							var n = text();
							template_effect((e) => set_text(n, `· ${e ?? ""}`), [() => t("merged", { into: get(r).merged_into })]), append(e, n);
						};
						if_block(h, (e) => {
							get(r).merged_into && e(g);
						}), reset(d);
						var _ = sibling(d, 2), v = (e) => {
							var n = root_1$15(), i = only_child(n, !0);
							template_effect((e) => set_text(i, e), [() => t("merge", { into: get(r).parent_branch })]), delegated("click", n, () => o(get(r))), append(e, n);
						};
						if_block(_, (e) => {
							get(r).parent_branch && !get(r).merged_into && e(v);
						}), reset(i), template_effect((e, a) => {
							c = set_style(i, "", c, { "padding-left": e }), set_attribute(l, "aria-current", get(r).branch_id === n.view.branch ? "true" : void 0), set_text(u, `↳ ${(get(r).name || get(r).branch_id) ?? ""}`), set_text(f, a);
						}, [() => `${s(get(r)) * 18}px`, () => t("headAt", { n: get(r).head_sequence })]), delegated("click", l, () => a(get(r).branch_id)), append(e, i);
					}), reset(i), append(e, i);
				};
				if_block(l, (e) => {
					get(r) ? e(d, -1) : e(u);
				});
				var f = sibling(l, 2), p = child(f), m = only_child(p, !0), h = sibling(p), g = only_child(h, !0);
				reset(f), template_effect((e, n) => {
					set_text(m, e), set_text(g, n);
				}, [() => t("compare"), () => t("branchHere")]), delegated("click", p, () => ui.overlay = "compare"), delegated("click", h, () => ui.branchFrom(n.view.shown)), append(e, c);
			},
			$$slots: { default: !0 }
		});
	}
	pop();
}
delegate(["click"]);
// src/panels/Compare.svelte
var root$17 = from_html("<option> </option>"), root_1$14 = from_html("<section class=\"verb\"><h3> </h3><p> </p> <p class=\"soft\"> </p></section>"), root_2$12 = from_html("<tr><th scope=\"row\"> </th><td class=\"num\"> </td><td class=\"num\"> </td></tr>"), root_3$11 = from_html("<table><tbody></tbody></table>"), root_4$10 = from_html("<details><summary> <span class=\"soft\"> </span></summary><pre> </pre></details>"), root_5$9 = from_html("<p class=\"soft\"> </p>"), root_6$8 = from_html("<p> </p> <div class=\"two\"></div> <!> <h3> </h3> <!>", 1), root_7$8 = from_html("<div class=\"two\"><div class=\"row\"><label> <select></select></label><label>#<input type=\"number\" min=\"0\"/></label></div> <div class=\"row\"><label> <select></select></label><label>#<input type=\"number\" min=\"0\"/></label></div></div> <div class=\"row\"><button> </button></div> <!>", 1);
function Compare(e, n) {
	push(n, !0);
	let r = state([]), i = untrack(() => ({
		branch: n.view.branch,
		shown: n.view.shown,
		head: n.view.head
	})), a = state(proxy(i.branch)), o = state(proxy(i.branch)), s = state(proxy(i.shown)), c = state(proxy(i.head)), l = state(null);
	(async () => {
		await ui.attempt(async () => {
			set(r, (await get$1(at(n.view.id, "/branches"))).branches);
			let e = get(r).find((e) => e.branch_id !== n.view.branch);
			e && (set(o, e.branch_id, !0), set(c, e.head_sequence, !0));
		});
	})();
	let u = () => ui.attempt(async () => set(l, await get$1(at(n.view.id, "/compare", {
		one: get(a),
		other: get(o),
		one_at: get(s),
		other_at: get(c)
	})))), d = (e) => typeof e == "number" ? whole(Math.round(e * 1e3) / 1e3) : String(e), f = user_derived(() => get(l) ? [get(l).one, get(l).other] : []);
	{
		let n = user_derived(() => t("compareTitle"));
		Dialog(e, {
			get title() {
				return get(n);
			},
			wide: !0,
			onclose: () => ui.overlay === "compare" && (ui.overlay = ""),
			children: (e, n) => {
				var i = root_7$8(), p = first_child(i), m = child(p), h = child(m), g = child(h, !0), _ = sibling(g);
				each(_, 21, () => get(r), index, (e, n) => {
					var r = root$17(), i = only_child(r, !0), a = {};
					template_effect(() => {
						set_text(i, get(n).name), a !== (a = get(n).branch_id) && (r.value = (r.__value = a) ?? "");
					}), append(e, r);
				}), reset(_), init_select(_), reset(h);
				var v = sibling(h), y = sibling(child(v));
				remove_input_defaults(y), reset(v), reset(m);
				var b = sibling(m, 2), x = child(b), S = child(x, !0), C = sibling(S);
				each(C, 21, () => get(r), index, (e, n) => {
					var r = root$17(), i = only_child(r, !0), a = {};
					template_effect(() => {
						set_text(i, get(n).name), a !== (a = get(n).branch_id) && (r.value = (r.__value = a) ?? "");
					}), append(e, r);
				}), reset(C), init_select(C), reset(x);
				var w = sibling(x), T = sibling(child(w));
				remove_input_defaults(T), reset(w), reset(b), reset(p);
				var E = sibling(p, 2), D = child(E), O = only_child(D, !0);
				reset(E);
				var k = sibling(E, 2), A = (e) => {
					var n = root_6$8(), r = first_child(n), i = only_child(r, !0), a = sibling(r, 2);
					each(a, 21, () => get(f), index, (e, n) => {
						var r = root_1$14(), i = child(r), a = only_child(i), o = sibling(i), s = only_child(o, !0), c = sibling(o, 2), l = only_child(c);
						reset(r), template_effect((e, r, i, o, c, u, d, f, p) => {
							set_text(a, `${get(n).branch ?? ""} · #${get(n).sequence ?? ""}`), set_text(s, e), set_text(l, `${r ?? ""} ${i ?? ""} · ${o ?? ""} ${c ?? ""} · ${u ?? ""} ${d ?? ""} · ${f ?? ""} ${p ?? ""}`);
						}, [
							() => t("ownEvents", { n: whole(get(n).own_events) }),
							() => whole(get(n).spent.model_calls ?? 0),
							() => t("modelCalls"),
							() => whole((get(n).spent.prompt_tokens ?? 0) + (get(n).spent.completion_tokens ?? 0)),
							() => t("tokens"),
							() => whole(get(n).spent.tool_runs ?? 0),
							() => t("toolRuns"),
							() => whole(get(n).spent.failed_calls ?? 0),
							() => t("failedCalls")
						]), append(e, r);
					}), reset(a);
					var o = sibling(a, 2), s = (e) => {
						var n = root_3$11(), r = child(n);
						each(r, 21, () => Object.entries(get(l).state_changes), index, (e, n) => {
							var r = user_derived(() => to_array(get(n), 2)), i = user_derived(() => to_array(get(r)[1], 2));
							let a = () => get(r)[0], o = () => get(i)[0], s = () => get(i)[1];
							var c = root_2$12(), l = child(c), u = only_child(l, !0), f = sibling(l), p = only_child(f, !0), m = sibling(f), h = only_child(m, !0);
							reset(c), template_effect((e, n) => {
								set_text(u, a()), set_text(p, e), set_text(h, n);
							}, [() => d(o()), () => d(s())]), append(e, c);
						}), reset(r), reset(n), append(e, n);
					}, c = user_derived(() => Object.keys(get(l).state_changes).length);
					if_block(o, (e) => {
						get(c) && e(s);
					});
					var u = sibling(o, 2), p = only_child(u, !0), m = sibling(u, 2);
					each(m, 17, () => get(l).files ?? [], index, (e, n) => {
						var r = root_4$10(), i = child(r), a = child(i), o = sibling(a), s = only_child(o, !0);
						reset(i);
						var c = sibling(i), l = only_child(c, !0);
						reset(r), template_effect((e) => {
							set_text(a, `${get(n).path ?? ""} `), set_text(s, get(n).change), set_text(l, e);
						}, [() => get(n).text ?? t("binary")]), append(e, r);
					}, (e) => {
						var n = root_5$9(), r = only_child(n, !0);
						template_effect((e) => set_text(r, e), [() => t("noDifferentFiles")]), append(e, n);
					}), template_effect((e, n) => {
						set_text(i, e), set_text(p, n);
					}, [() => t("commonAt", {
						n: get(l).common_sequence,
						branch: get(l).common_branch,
						turns: get(l).common_messages
					}), () => t("differentFiles")]), append(e, n);
				};
				if_block(k, (e) => {
					get(l) && e(A);
				}), template_effect((e, n, r) => {
					set_text(g, e), set_text(S, n), set_text(O, r);
				}, [
					() => t("one"),
					() => t("other"),
					() => t("compare")
				]), bind_select_value(_, () => get(a), (e) => set(a, e)), bind_value(y, () => get(s), (e) => set(s, e)), bind_select_value(C, () => get(o), (e) => set(o, e)), bind_value(T, () => get(c), (e) => set(c, e)), delegated("click", D, u), append(e, i);
			},
			$$slots: { default: !0 }
		});
	}
	pop();
}
delegate(["click"]);
// src/panels/Context.svelte
var root$16 = from_html("<p class=\"blank\"> </p>"), root_1$13 = from_html("<div class=\"pad\"><!></div>"), root_2$11 = from_html("<p class=\"pad\"> </p>"), root_3$10 = from_html("<div class=\"part\"><span> <span class=\"soft\"> </span></span><span class=\"num\"> </span><span class=\"part-bar\"></span></div>"), root_4$9 = from_html("<section class=\"pad\"><h3> <span class=\"soft\"> </span></h3> <!></section>"), root_5$8 = from_html("<dl class=\"tiles\"><div><dt> </dt><dd> </dd></div> <div><dt> </dt><dd> </dd></div> <div><dt> </dt><dd> </dd></div></dl> <!> <!> <!>", 1), root_6$7 = from_html("&nbsp;<span class=\"soft\"> </span>", 1), root_7$7 = from_html("<dt> </dt><dd> </dd>", 1), root_8$6 = from_html("<section class=\"pad\"><h3> <span class=\"soft\"> </span></h3> <dl class=\"facts\"><dt> </dt><dd> </dd> <dt> </dt><dd> <!></dd> <!></dl></section>"), root_9$4 = from_html("<div class=\"scrolls\" role=\"group\" tabindex=\"0\"><!> <!></div> <!>", 1);
function Context(e, n) {
	push(n, !0);
	let r = user_derived(() => n.view.state.context), i = user_derived(() => n.view.state.blocks), a = user_derived(() => Math.max(1, ...get(i).map((e) => e.tokens))), o = new Told(untrack(() => n.view), "/context"), s = new Told(untrack(() => n.view), "/autonomic"), c = user_derived(() => get(r).prompt_seq || get(r).window || get(i).length);
	var l = root_9$4(), u = first_child(l), d = child(u), f = (e) => {
		var n = root$16(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("noContext")]), append(e, n);
	}, p = (e) => {
		var o = root_5$8(), s = first_child(o), c = child(s), l = child(c), u = only_child(l, !0), d = sibling(l), f = only_child(d, !0);
		reset(c);
		var p = sibling(c, 2), m = child(p), h = only_child(m, !0), g = sibling(m), _ = only_child(g, !0);
		reset(p);
		var v = sibling(p, 2), y = child(v), b = only_child(y, !0), x = sibling(y), S = only_child(x, !0);
		reset(v), reset(s);
		var C = sibling(s, 2), w = (e) => {
			var n = root_1$13(), i = child(n);
			{
				let e = user_derived(() => t("lastPrompt")), n = user_derived(() => get(r).prompt / get(r).window);
				Meter(i, {
					get label() {
						return get(e);
					},
					get value() {
						return get(n);
					}
				});
			}
			reset(n), append(e, n);
		};
		if_block(C, (e) => {
			get(r).window && get(r).prompt_seq && e(w);
		});
		var T = sibling(C, 2), E = (e) => {
			var n = root_2$11(), i = only_child(n, !0);
			template_effect((e) => set_text(i, e), [() => t("compactedLine", {
				n: get(r).compacted_seq,
				dropped: get(r).dropped,
				before: whole(get(r).before),
				after: whole(get(r).after)
			})]), append(e, n);
		};
		if_block(T, (e) => {
			get(r).compacted_seq && e(E);
		});
		var D = sibling(T, 2);
		each(D, 16, () => ["frozen", "noted"], index, (e, n) => {
			let o = user_derived(() => get(i).filter((e) => e.part === n));
			var s = comment(), c = first_child(s), l = (e) => {
				var i = root_4$9(), s = child(i), c = child(s), l = sibling(c), u = only_child(l);
				reset(s);
				var d = sibling(s, 2);
				each(d, 17, () => get(o), index, (e, n) => {
					var r = root_3$10(), i = child(r), o = child(i), s = sibling(o), c = only_child(s);
					reset(i);
					var l = sibling(i), u = only_child(l, !0), d = sibling(l);
					let f;
					reset(r), template_effect((e, r, i) => {
						set_text(o, `${get(n).source ?? ""} `), set_text(c, `${get(n).kind ?? ""}${e ?? ""}${r ?? ""}`), set_text(u, i), f = set_style(d, "", f, { width: `${get(n).tokens / get(a) * 100}%` });
					}, [
						() => get(n).cut ? ` · ${t("cut")}` : "",
						() => get(n).dropped ? ` · ${t("droppedBlock")}` : "",
						() => whole(get(n).tokens)
					]), append(e, r);
				}), reset(i), template_effect((e, i, a, o) => {
					set_text(c, `${e ?? ""} `), set_text(u, `#${(n === "frozen" ? get(r).frozen_seq : get(r).noted_seq) ?? ""} · ${i ?? ""} ${a ?? ""} (${o ?? ""})`);
				}, [
					() => term("part_", n),
					() => whole(get(o).reduce((e, n) => e + n.tokens, 0)),
					() => t("tokens"),
					() => t("estimated")
				]), append(e, i);
			};
			if_block(c, (e) => {
				get(o).length && e(l);
			}), append(e, s);
		}), template_effect((e, n, r, i, a, o) => {
			set_text(u, e), set_text(f, n), set_text(h, r), set_text(_, i), set_text(b, a), set_text(S, o);
		}, [
			() => t("lastPrompt"),
			() => get(r).prompt_seq ? whole(get(r).prompt) : t("notReported"),
			() => t("window"),
			() => get(r).window ? whole(get(r).window) : t("notReported"),
			() => t("pressure"),
			() => n.view.state.vector ? percent(n.view.state.vector.context_pressure) : t("notReported")
		]), append(e, o);
	};
	if_block(d, (e) => {
		get(c) ? e(p, -1) : e(f);
	});
	var m = sibling(d, 2), h = (e) => {
		var n = root_8$6(), r = child(n), i = child(r), a = sibling(i), c = only_child(a, !0);
		reset(r);
		var l = sibling(r, 2), u = child(l), d = only_child(u, !0), f = sibling(u), p = only_child(f), m = sibling(f, 2), h = only_child(m, !0), g = sibling(m), _ = child(g, !0), v = sibling(_), y = (e) => {
			var n = root_6$7(), r = sibling(first_child(n)), i = only_child(r, !0);
			template_effect((e) => set_text(i, e), [() => t("ruleTarget", { n: whole(s.value.target_tokens) })]), append(e, n);
		};
		if_block(v, (e) => {
			s.value?.target_tokens && e(y);
		}), reset(g);
		var b = sibling(g, 2), x = (e) => {
			var n = root_7$7(), r = first_child(n), i = only_child(r, !0), a = sibling(r), o = only_child(a, !0);
			template_effect((e) => {
				set_text(i, e), set_text(o, s.value.rationale);
			}, [() => t("why")]), append(e, n);
		};
		if_block(b, (e) => {
			s.value?.rationale && e(x);
		}), reset(l), reset(n), template_effect((e, n, r, a, o, s, l, u, f) => {
			set_text(i, `${e ?? ""} `), set_text(c, n), set_text(d, r), set_text(p, `${a ?? ""} / ${o ?? ""} ${s ?? ""} · ${l ?? ""}`), set_text(h, u), set_text(_, f);
		}, [
			() => t("nowInDaemon"),
			() => new Date(o.read).toLocaleTimeString(),
			() => t("contextFill"),
			() => whole(o.value.tokens_used),
			() => whole(o.value.context_window),
			() => t("tokens"),
			() => percent(o.value.pressure_percent / 100),
			() => t("ruling"),
			() => term("ruling_", s.value?.ruling ?? o.value.ruling)
		]), append(e, n);
	};
	if_block(m, (e) => {
		o.value && n.view.position === null && e(h);
	}), reset(u);
	var g = sibling(u, 2);
	Source(g, {
		get view() {
			return n.view;
		},
		events: "arcan.context_*, ContextCompacted, Message"
	}), template_effect((e) => set_attribute(u, "aria-label", e), [() => t("context")]), append(e, l), pop();
}
// src/panels/Doubt.svelte
var root$15 = from_html("<div class=\"approval\" role=\"group\"><p><strong> </strong></p> <div class=\"row wrap\"><button class=\"quiet\"> </button> <button class=\"quiet\"> </button> <button class=\"quiet\"> </button></div></div>");
function Doubt(e, n) {
	push(n, !0);
	let r = (e) => ui.attempt(() => send("POST", at(n.view.id, `/doubts/${encodeURIComponent(n.call)}`, { branch: n.view.branch }), { decision: e }));
	var i = root$15(), a = child(i), o = child(a), s = only_child(o, !0);
	reset(a);
	var c = sibling(a, 2), l = child(c), u = only_child(l, !0), d = sibling(l, 2), f = only_child(d, !0), p = sibling(d, 2), m = only_child(p, !0);
	reset(c), reset(i), template_effect((e, n, r, a, o) => {
		set_attribute(i, "aria-label", e), set_text(s, n), set_text(u, r), set_text(f, a), set_text(m, o);
	}, [
		() => t("doubtAsk"),
		() => t("doubtAsk"),
		() => t("doubtDone"),
		() => t("doubtNot"),
		() => t("doubtRetry")
	]), delegated("click", l, () => r("done")), delegated("click", d, () => r("not_done")), delegated("click", p, () => r("retry")), append(e, i), pop();
}
delegate(["click"]);
// src/panels/Fork.svelte
var root$14 = from_html("<p> </p> <p class=\"soft\"> </p> <label> <input/></label> <div class=\"two\"><section class=\"verb\"><h3> </h3><p class=\"soft\"> </p><button class=\"quiet\"> </button></section> <section class=\"verb\"><h3> </h3><p class=\"soft\"> </p> <label> <textarea rows=\"3\"></textarea></label> <button> </button></section></div>", 1);
function Fork(e, n) {
	push(n, !0);
	let r = untrack(() => ui.forkAt), i = state(`try-${r}`), a = state(proxy(ui.forkMessage)), o = state(!1), s = user_derived(() => n.view.state.runs.findLast((e) => e.ended));
	async function c(e) {
		get(o) || (set(o, !0), await ui.attempt(async () => {
			let o = await send("POST", at(n.view.id, "/branches"), {
				branch: get(i).trim(),
				from_branch: n.view.branch,
				fork_sequence: r
			});
			o && (e && await send("POST", at(n.view.id, "/runs"), {
				objective: get(a),
				branch: o.branch_id,
				wait: !1
			}), ui.overlay = "", route.go(n.view.id, { branch: o.branch_id }));
		}) || set(o, !1));
	}
	{
		let n = user_derived(() => t("newBranch")), l = user_derived(() => r);
		Dialog(e, {
			get title() {
				return `${get(n) ?? ""} · #${get(l) ?? ""}`;
			},
			onclose: () => ui.overlay === "branch" && (ui.overlay = ""),
			children: (e, n) => {
				var l = root$14(), u = first_child(l), d = only_child(u, !0), f = sibling(u, 2), p = only_child(f, !0), m = sibling(f, 2), h = child(m, !0), g = sibling(h);
				remove_input_defaults(g), reset(m);
				var _ = sibling(m, 2), v = child(_), y = child(v), b = only_child(y, !0), x = sibling(y), S = only_child(x, !0), C = sibling(x), w = only_child(C, !0);
				reset(v);
				var T = sibling(v, 2), E = child(T), D = only_child(E, !0), O = sibling(E), k = only_child(O), A = sibling(O, 2), j = child(A, !0), M = sibling(j);
				remove_textarea_child(M), reset(A);
				var N = sibling(A, 2), P = only_child(N, !0);
				reset(T), reset(_), template_effect((e, n, r, i, a, o, s, c, l, u, f, m, g) => {
					set_text(d, e), set_text(p, n), set_text(h, r), set_text(b, i), set_text(S, a), C.disabled = o, set_text(w, s), set_text(D, c), set_text(k, `${l ?? ""} ${u ?? ""}`), set_text(j, f), N.disabled = m, set_text(P, g);
				}, [
					() => t("branchKept", { n: r }),
					() => t("branchNot"),
					() => t("branchName"),
					() => t("viewVerb"),
					() => t("viewVerbHint"),
					() => get(o) || !get(i).trim(),
					() => t("createBranch"),
					() => t("runAgain"),
					() => t("runAgainHint"),
					() => get(s) && get(s).steps > get(s).uncosted ? t("typicalCost", { cost: usd(get(s).cost_micro) }) : t("unknownCost"),
					() => t("runWith"),
					() => get(o) || !get(i).trim() || !get(a).trim(),
					() => t("runAgain")
				]), bind_value(g, () => get(i), (e) => set(i, e)), delegated("click", C, () => c(!1)), bind_value(M, () => get(a), (e) => set(a, e)), delegated("click", N, () => c(!0)), append(e, l);
			},
			$$slots: { default: !0 }
		});
	}
	pop();
}
delegate(["click"]);
// src/panels/graph.ts
var RANK = {
	mentioned: 0,
	found: 1,
	search: 2,
	file: 3,
	memory: 3
}, keyOf = (e) => e.toLowerCase().replace(/^.*\//, "").replace(/\.md$/, "").trim();
function graphOf(e) {
	let n = new Map(), r = new Map(), i = e.runs.at(-1)?.seq ?? 0, a = (r, a, o, s = 0, c = e.branch) => {
		let l = n.get(r);
		l && (RANK[l.kind] ?? 0) > (RANK[o] ?? 0) || n.set(r, {
			key: r,
			label: a,
			kind: o,
			seq: s,
			branch: c,
			fresh: c === e.branch && s > i && i > 0,
			failed: !1
		});
	}, o = new Map(e.notes.filter((e) => e.ref).map((e) => [e.ref, e.id]));
	for (let i of e.notes.slice(-120)) {
		let e = i.kind === "search" ? `? ${i.id}` : keyOf(i.id);
		if (!e) continue;
		a(e, i.id, i.kind, i.seq, i.branch);
		let s = n.get(e);
		s && (s.failed = i.state === "failed");
		for (let n of i.links) {
			let s = o.get(n) ?? n, c = keyOf(s);
			c && c !== e && (a(c, s, i.kind === "search" ? "found" : "mentioned"), r.set(`${e} ${c}`, {
				from: e,
				to: c,
				found: i.kind === "search"
			}));
		}
	}
	return {
		nodes: [...n.values()].slice(-120),
		edges: [...r.values()]
	};
}
function placed(e) {
	let n = e.nodes.length, r = new Map(e.nodes.map((e, n) => [e.key, n])), i = new Float64Array(n), a = new Float64Array(n);
	for (let e = 0; e < n; e++) {
		let r = e / Math.max(1, n) * 2 * Math.PI;
		i[e] = 320 + 210 * Math.cos(r), a[e] = 200 + 130 * Math.sin(r);
	}
	let o = n > 60 ? 80 : 160;
	for (let s = 0; s < o; s++) {
		let c = .9 * (1 - s / o) + .1, l = new Float64Array(n), u = new Float64Array(n), d = (e, n, r) => {
			let o = (i[n] ?? 0) - (i[e] ?? 0), s = ((a[n] ?? 0) - (a[e] ?? 0)) * 1.5, c = Math.max(4, Math.hypot(o, s)), d = r(c) / c;
			l[e] = (l[e] ?? 0) + o * d, u[e] = (u[e] ?? 0) + s * d / 1.5, l[n] = (l[n] ?? 0) - o * d, u[n] = (u[n] ?? 0) - s * d / 1.5;
		};
		for (let e = 0; e < n; e++) for (let r = e + 1; r < n; r++) d(e, r, (e) => -2600 / e);
		for (let n of e.edges) {
			let e = r.get(n.from), i = r.get(n.to);
			e !== void 0 && i !== void 0 && d(e, i, (e) => (e - 95) * .28);
		}
		for (let e = 0; e < n; e++) {
			let n = Math.min(18, Math.hypot(l[e] ?? 0, u[e] ?? 0)), r = Math.max(.01, Math.hypot(l[e] ?? 0, u[e] ?? 0));
			i[e] = Math.max(60, Math.min(580, (i[e] ?? 0) + (l[e] ?? 0) / r * n * c + (320 - (i[e] ?? 0)) * .012)), a[e] = Math.max(30, Math.min(380, (a[e] ?? 0) + (u[e] ?? 0) / r * n * c + (200 - (a[e] ?? 0)) * .012));
		}
	}
	return new Map(e.nodes.map((e, n) => [e.key, {
		x: Math.round((i[n] ?? 0) * 10) / 10,
		y: Math.round((a[n] ?? 0) * 10) / 10
	}]));
}
// src/panels/Graph.svelte
var root$13 = from_html("<p class=\"blank\"> </p>"), root_1$12 = from_svg("<line></line>"), root_2$10 = from_svg("<rect x=\"-6\" y=\"-6\" width=\"12\" height=\"12\" transform=\"rotate(45)\"></rect>"), root_3$9 = from_svg("<rect x=\"-6\" y=\"-7\" width=\"12\" height=\"14\" rx=\"2\"></rect>"), root_4$8 = from_svg("<circle></circle>"), root_5$7 = from_svg("<g><!><text y=\"-12\"> </text></g>"), root_6$6 = from_html("<button class=\"quiet small seq\"> </button>"), root_7$6 = from_html("&nbsp;<span class=\"tag good\"> </span>", 1), root_8$5 = from_html("&nbsp;<span class=\"tag bad\"> </span>", 1), root_9$3 = from_html("&nbsp;<span class=\"soft\"> </span>", 1), root_10$2 = from_html("<li><!> <button class=\"quiet small\"> </button> <span class=\"tag\"> </span><!><!> <!></li>"), root_11$2 = from_html("<svg class=\"graph\" role=\"img\"><!><!></svg> <ul class=\"rows graph-list\"></ul>", 1), root_12$2 = from_html("<li><button class=\"quiet small seq\"> </button> <span class=\"tag\"> </span> <span class=\"soft\"> </span></li>"), root_13$2 = from_html("<section class=\"pad\"><h3> </h3> <ul class=\"rows\"></ul></section>"), root_14$2 = from_html("<div class=\"scrolls\" role=\"group\" tabindex=\"0\"><!> <!> <!></div> <!>", 1);
function Graph(e, n) {
	push(n, !0);
	let r = user_derived(() => graphOf(n.view.settled)), i = user_derived(() => placed(get(r))), a = user_derived(() => {
		let [e, n] = [[...get(i).values()].map((e) => e.x), [...get(i).values()].map((e) => e.y)], [r, a] = [Math.min(...e) - 80, Math.min(...n) - 34];
		return `${r} ${a} ${Math.max(...e) + 80 - r} ${Math.max(...n) + 24 - a}`;
	}), o = state(""), s = user_derived(() => new Set(get(r).edges.filter((e) => e.from === get(o) || e.to === get(o)).flatMap((e) => [e.from, e.to]))), c = (e) => get(r).edges.filter((n) => n.from === e.key).map((e) => get(r).nodes.find((n) => n.key === e.to)?.label ?? e.to);
	function l(e) {
		set(o, get(o) === e ? "" : e, !0), get(o) && document.getElementById(`note-${get(r).nodes.findIndex((n) => n.key === e)}`)?.scrollIntoView({ block: "nearest" });
	}
	var u = root_14$2(), d = first_child(u), f = child(d), p = (e) => {
		var n = root$13(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("noGraph")]), append(e, n);
	};
	if_block(f, (e) => {
		!get(r).nodes.length && !n.view.state.memory.length && e(p);
	});
	var m = sibling(f, 2), h = (e) => {
		var u = root_11$2(), d = first_child(u), f = child(d);
		each(f, 17, () => get(r).edges, index, (e, n) => {
			let r = user_derived(() => get(i).get(get(n).from)), a = user_derived(() => get(i).get(get(n).to));
			var s = comment(), c = first_child(s), l = (e) => {
				var i = root_1$12();
				let s;
				template_effect(() => {
					set_attribute(i, "x1", get(r).x), set_attribute(i, "y1", get(r).y), set_attribute(i, "x2", get(a).x), set_attribute(i, "y2", get(a).y), s = set_class(i, 0, "", null, s, {
						found: get(n).found,
						lit: get(n).from === get(o) || get(n).to === get(o)
					});
				}), append(e, i);
			};
			if_block(c, (e) => {
				get(r) && get(a) && e(l);
			}), append(e, s);
		});
		var p = sibling(f);
		each(p, 17, () => get(r).nodes, (e) => e.key, (e, n) => {
			let r = user_derived(() => get(i).get(get(n).key));
			var a = comment(), c = first_child(a), u = (e) => {
				var i = root_5$7();
				let a;
				var c = child(i), u = (e) => {
					var n = root_2$10();
					append(e, n);
				}, d = (e) => {
					var n = root_3$9();
					append(e, n);
				}, f = (e) => {
					var r = root_4$8();
					template_effect(() => set_attribute(r, "r", get(n).kind === "mentioned" ? 5 : 7)), append(e, r);
				};
				if_block(c, (e) => {
					get(n).kind === "search" ? e(u) : get(n).kind === "file" ? e(d, 1) : e(f, -1);
				});
				var p = sibling(c), m = only_child(p, !0);
				reset(i), template_effect((e, o) => {
					set_attribute(i, "transform", `translate(${get(r).x ?? ""} ${get(r).y ?? ""})`), a = set_class(i, 0, `node ${get(n).kind ?? ""}`, null, a, {
						new: get(n).fresh,
						faint: e,
						failed: get(n).failed
					}), set_text(m, o);
				}, [() => get(o) !== "" && !get(s).has(get(n).key) && get(n).key !== get(o), () => get(n).label.length > 24 ? `${get(n).label.slice(0, 23)}…` : get(n).label]), delegated("click", i, () => l(get(n).key)), append(e, i);
			};
			if_block(c, (e) => {
				get(r) && e(u);
			}), append(e, a);
		}), reset(d);
		var m = sibling(d, 2);
		each(m, 23, () => get(r).nodes, (e) => e.key, (e, r, i) => {
			var a = root_10$2();
			let s;
			var u = child(a), d = (e) => {
				var i = root_6$6(), a = only_child(i);
				template_effect(() => set_text(a, `#${get(r).seq ?? ""}`)), delegated("click", i, () => toJournal(n.view, get(r))), append(e, i);
			};
			if_block(u, (e) => {
				get(r).seq && e(d);
			});
			var f = sibling(u, 2), p = only_child(f, !0), m = sibling(f, 2), h = only_child(m, !0), g = sibling(m), _ = (e) => {
				var n = root_7$6(), r = sibling(first_child(n)), i = only_child(r, !0);
				template_effect((e) => set_text(i, e), [() => t("newNow")]), append(e, n);
			};
			if_block(g, (e) => {
				get(r).fresh && e(_);
			});
			var v = sibling(g), y = (e) => {
				var n = root_8$5(), r = sibling(first_child(n)), i = only_child(r, !0);
				template_effect((e) => set_text(i, e), [() => t("state_failed")]), append(e, n);
			};
			if_block(v, (e) => {
				get(r).failed && e(y);
			});
			var b = sibling(v, 2), x = (e) => {
				var n = root_9$3(), i = sibling(first_child(n)), a = only_child(i);
				template_effect((e) => set_text(a, `→ ${e ?? ""}`), [() => c(get(r)).join(", ")]), append(e, n);
			}, S = user_derived(() => c(get(r)).length);
			if_block(b, (e) => {
				get(S) && e(x);
			}), reset(a), template_effect((e) => {
				set_attribute(a, "id", `note-${get(i) ?? ""}`), s = set_class(a, 1, "", null, s, { lit: get(r).key === get(o) }), set_attribute(f, "aria-pressed", get(r).key === get(o)), set_text(p, get(r).label), set_text(h, e);
			}, [() => term("note_", get(r).kind)]), delegated("click", f, () => l(get(r).key)), append(e, a);
		}), reset(m), template_effect((e, n) => {
			set_attribute(d, "viewBox", get(a)), set_attribute(d, "aria-label", e), set_attribute(m, "aria-label", n);
		}, [() => t("graphFigure", {
			n: get(r).nodes.length,
			m: get(r).edges.length
		}), () => t("graphList")]), append(e, u);
	};
	if_block(m, (e) => {
		get(r).nodes.length && e(h);
	});
	var g = sibling(m, 2), _ = (e) => {
		var r = root_13$2(), i = child(r), a = only_child(i, !0), o = sibling(i, 2);
		each(o, 21, () => n.view.state.memory.toReversed(), index, (e, n) => {
			var r = root_12$2(), i = child(r), a = only_child(i), o = sibling(i, 2), s = only_child(o, !0), c = sibling(o), l = sibling(c), u = only_child(l, !0);
			reset(r), template_effect((e) => {
				set_text(a, `#${get(n).seq ?? ""}`), set_text(s, e), set_text(c, ` ${(get(n).path || get(n).id) ?? ""} `), set_text(u, get(n).scope);
			}, [() => term("mem_", get(n).what)]), delegated("click", i, () => route.set({
				mid: "journal",
				event: get(n).seq
			})), append(e, r);
		}), reset(o), reset(r), template_effect((e) => set_text(a, e), [() => t("memory")]), append(e, r);
	};
	if_block(g, (e) => {
		n.view.state.memory.length && e(_);
	}), reset(d);
	var v = sibling(d, 2);
	Source(v, {
		get view() {
			return n.view;
		},
		events: "ToolCall* (memory, knowledge), Memory*, Knowledge*"
	}), template_effect((e) => set_attribute(d, "aria-label", e), [() => t("graph")]), append(e, u), pop();
}
delegate(["click"]);
// src/panels/Identity.svelte
var root$12 = from_html("<p> </p>"), root_1$11 = from_html("<span class=\"soft\"> </span>"), root_2$9 = from_html(" <!>", 1), root_3$8 = from_html("<dt> </dt><dd> </dd> <dt> </dt><dd><code> </code></dd>", 1), root_4$7 = from_html("<strong> </strong> <span class=\"soft\"> </span>", 1), root_5$6 = from_html("&nbsp;<span class=\"soft\"> </span>", 1), root_6$5 = from_html("<li><span aria-hidden=\"true\"> </span> <span class=\"sr\"> </span><!><div class=\"soft small-text\"><code> </code></div></li>"), root_7$5 = from_html("<ul class=\"rows checks\"></ul>"), root_8$4 = from_html("<section class=\"pad\"><h3> </h3> <p class=\"soft small-text\"> </p> <p class=\"row wrap\"><button class=\"small\"> </button><!></p> <!></section>"), root_9$2 = from_html("<section class=\"pad\"><h3> </h3> <!> <dl class=\"facts\"><dt> </dt><dd><code> </code> <!></dd> <dt> </dt><dd><code> </code></dd> <dt> </dt><dd><code> </code></dd> <dt> </dt><dd> <!></dd> <!></dl></section> <!>", 1), root_10$1 = from_html("<dt> </dt><dd> </dd>", 1), root_11$1 = from_html("<code> </code>"), root_12$1 = from_html("<button class=\"quiet small\"> </button>"), root_13$1 = from_html("<li> <span class=\"chips\"></span> <span class=\"soft\"> </span> <!></li>"), root_14$1 = from_html("<section class=\"pad\"><h3> </h3><ul class=\"rows\"></ul></section>"), root_15$1 = from_html("<div><code> </code> <span class=\"soft\"> </span></div>"), root_16$1 = from_html("<div><code> </code> → <code> </code> <span class=\"soft\"> </span></div>"), root_17$1 = from_html("<section class=\"pad\"><h3> </h3> <dl class=\"facts\"><dt> </dt><dd class=\"chips\"></dd> <dt> </dt><dd> </dd> <dt> </dt><dd> </dd> <dt> </dt><dd></dd></dl></section> <section class=\"pad\"><h3> </h3> <dl class=\"facts\"><dt> </dt><dd> <span class=\"soft\"> </span></dd> <dt> </dt><dd></dd></dl></section>", 1), root_18$1 = from_html("<li><button class=\"quiet small seq\"> </button> <span class=\"soft\"> </span></li>"), root_19 = from_html("<section class=\"pad\"><h3> </h3><p class=\"chips\"></p></section>"), root_20 = from_html("<div class=\"scrolls\" role=\"group\" tabindex=\"0\"><!> <section class=\"pad\"><h3> </h3> <dl class=\"facts\"><dt>id</dt><dd><code> </code></dd> <dt> </dt><dd><code> </code></dd> <dt> </dt><dd> </dd> <dt> </dt><dd> </dd> <dt> </dt><dd> </dd> <!></dl></section> <!> <!> <!> <!></div> <!>", 1);
function Identity(e, n) {
	push(n, !0);
	let r = user_derived(() => n.view.state.session), i = user_derived(() => ui.about), a = state(null), o = state(0), s = state(null), c = state(!1);
	onMount(() => {
		!offline && get(i) && get$1(`/anima/identities/${encodeURIComponent(get(i).agent_id)}`).then((e) => {
			set(a, e), set(o, Date.now(), !0);
		}, () => void 0);
	});
	async function l() {
		set(c, !0), set(s, null), await ui.attempt(async () => {
			let e = await get$1(at(n.view.id, "/workspace/verify", { branch: n.view.branch }));
			set(s, e), ui.say(t(e.holds ? "verifyHolds" : "verifyFails"));
		}), set(c, !1);
	}
	let u = (e) => ui.attempt(() => send("DELETE", at(n.view.id, `/rules/${encodeURIComponent(e)}`, { branch: n.view.branch })));
	var d = root_20(), f = first_child(d), p = child(f), m = (e) => {
		var n = root_9$2(), r = first_child(n), o = child(r), u = only_child(o, !0), d = sibling(o, 2), f = (e) => {
			var n = root$12(), r = only_child(n, !0);
			template_effect(() => set_text(r, get(a).mission)), append(e, n);
		};
		if_block(d, (e) => {
			get(a)?.mission && e(f);
		});
		var p = sibling(d, 2), m = child(p), h = only_child(m, !0), g = sibling(m), _ = child(g), v = only_child(_, !0), y = sibling(_, 2);
		Copy(y, { get text() {
			return get(i).did;
		} }), reset(g);
		var b = sibling(g, 2), x = only_child(b, !0), S = sibling(b), C = child(S), w = only_child(C, !0);
		reset(S);
		var T = sibling(S, 2), E = only_child(T, !0), D = sibling(T), O = child(D), k = only_child(O, !0);
		reset(D);
		var A = sibling(D, 2), j = only_child(A, !0), M = sibling(A), N = child(M, !0), P = sibling(N), F = (e) => {
			var n = root_2$9(), r = first_child(n), i = sibling(r), o = (e) => {
				var n = root_1$11(), r = only_child(n);
				template_effect((e) => set_text(r, ` · ${e ?? ""}`), [() => t("canSign", { what: get(a).operations.join(", ") })]), append(e, n);
			};
			if_block(i, (e) => {
				get(a).operations.length && e(o);
			}), template_effect(() => set_text(r, ` · ${get(a).security ?? ""}`)), append(e, n);
		};
		if_block(P, (e) => {
			get(a) && e(F);
		}), reset(M);
		var I = sibling(M, 2), L = (e) => {
			var n = root_3$8(), r = first_child(n), i = only_child(r, !0), o = sibling(r), s = only_child(o), c = sibling(o, 2), l = only_child(c, !0), u = sibling(c), d = child(u), f = only_child(d, !0);
			reset(u), template_effect((e, n, r, o, c) => {
				set_text(i, e), set_text(s, `${n ?? ""} · ${r ?? ""}`), set_text(l, o), set_attribute(d, "title", get(a).soul_hash), set_text(f, c);
			}, [
				() => t("standing"),
				() => get(a).revoked ? t("revokedNow") : get(a).lifecycle,
				() => t("generation", { n: get(a).generation }),
				() => t("soul"),
				() => id(get(a).soul_hash, 12)
			]), append(e, n);
		};
		if_block(I, (e) => {
			get(a) && e(L);
		}), reset(p), reset(r);
		var R = sibling(r, 2), z = (e) => {
			var n = root_8$4(), r = child(n), i = only_child(r, !0), a = sibling(r, 2), o = only_child(a, !0), u = sibling(a, 2), d = child(u), f = only_child(d, !0), p = sibling(d), m = (e) => {
				var n = root_4$7(), r = first_child(n), i = only_child(r, !0), a = sibling(r, 2), o = only_child(a, !0);
				template_effect((e, n) => {
					set_class(r, 1, clsx(get(s).holds ? "plus" : "minus")), set_text(i, e), set_text(o, n);
				}, [() => t(get(s).holds ? "verifyHolds" : "verifyFails"), () => moment(get(s).checked_us / 1e3)]), append(e, n);
			};
			if_block(p, (e) => {
				get(s) && e(m);
			}), reset(u);
			var h = sibling(u, 2), g = (e) => {
				var n = root_7$5();
				each(n, 21, () => get(s).checks, (e) => e.name, (e, n) => {
					var r = root_6$5(), i = child(r), a = only_child(i, !0), o = sibling(i), s = sibling(o), c = only_child(s, !0), l = sibling(s), u = (e) => {
						var r = root_5$6(), i = sibling(first_child(r)), a = only_child(i, !0);
						template_effect((e) => set_text(a, e), [() => t("eventsN", { n: whole(get(n).count) })]), append(e, r);
					};
					if_block(l, (e) => {
						get(n).name === "chain" && e(u);
					});
					var d = sibling(l), f = child(d), p = only_child(f, !0);
					reset(d), reset(r), template_effect((e, i) => {
						set_class(r, 1, `check-${get(n).outcome ?? ""}`), set_text(a, get(n).outcome === "holds" ? "✓" : get(n).outcome === "fails" ? "✕" : "–"), set_text(o, ` ${e ?? ""} `), set_text(c, i), set_text(p, get(n).told);
					}, [() => term("check_", get(n).name), () => term("outcome_", get(n).outcome)]), append(e, r);
				}), reset(n), append(e, n);
			};
			if_block(h, (e) => {
				get(s) && e(g);
			}), reset(n), template_effect((e, n, r) => {
				set_text(i, e), set_text(o, n), d.disabled = get(c), set_text(f, r);
			}, [
				() => t("verifyTitle"),
				() => t("verifyHint"),
				() => get(c) ? t("verifying") : t("verifyNow")
			]), delegated("click", d, l), append(e, n);
		};
		if_block(R, (e) => {
			offline || e(z);
		}), template_effect((e, n, r, a) => {
			set_text(u, get(i).agent), set_text(h, e), set_text(v, get(i).did), set_text(x, n), set_text(w, get(i).agent_id), set_text(E, r), set_text(k, get(i).wallet), set_text(j, a), set_text(N, get(i).custody);
		}, [
			() => t("did"),
			() => t("agentId"),
			() => t("wallet"),
			() => t("custody")
		]), append(e, n);
	};
	if_block(p, (e) => {
		get(i) && e(m);
	});
	var h = sibling(p, 2), g = child(h), _ = only_child(g, !0), v = sibling(g, 2), y = sibling(child(v)), b = child(y), x = only_child(b, !0);
	reset(y);
	var S = sibling(y, 2), C = only_child(S, !0), w = sibling(S), T = child(w), E = only_child(T, !0);
	reset(w);
	var D = sibling(w, 2), O = only_child(D, !0), k = sibling(D), A = only_child(k, !0), j = sibling(k, 2), M = only_child(j, !0), N = sibling(j), P = only_child(N, !0), F = sibling(N, 2), I = only_child(F, !0), L = sibling(F), R = only_child(L, !0), z = sibling(L, 2), B = (e) => {
		var n = root_10$1(), i = first_child(n), a = only_child(i, !0), o = sibling(i), s = only_child(o, !0);
		template_effect((e, n) => {
			set_text(a, e), set_text(s, n);
		}, [() => t("branch"), () => t("forkedAt", {
			parent: get(r).parent,
			n: get(r).fork
		})]), append(e, n);
	};
	if_block(z, (e) => {
		get(r).parent && e(B);
	}), reset(v), reset(h);
	var V = sibling(h, 2), H = (e) => {
		var r = root_14$1(), i = child(r), a = only_child(i, !0), o = sibling(i);
		each(o, 21, () => n.view.state.rules, index, (e, r) => {
			var i = root_13$1(), a = child(i), o = sibling(a);
			each(o, 21, () => get(r).patterns, index, (e, n) => {
				var r = root_11$1(), i = only_child(r, !0);
				template_effect(() => set_text(i, get(n))), append(e, r);
			}), reset(o);
			var s = sibling(o, 2), c = only_child(s), l = sibling(s, 2), d = (e) => {
				var n = root_12$1(), i = only_child(n, !0);
				template_effect((e) => set_text(i, e), [() => t("revoke")]), delegated("click", n, () => u(get(r).id)), append(e, n);
			};
			if_block(l, (e) => {
				n.view.position === null && !offline && e(d);
			}), reset(i), template_effect(() => {
				set_text(a, `${get(r).tool ?? ""} `), set_text(c, `${get(r).by ?? ""} #${get(r).seq ?? ""}`);
			}), append(e, i);
		}), reset(o), reset(r), template_effect((e) => set_text(a, e), [() => t("rules")]), append(e, r);
	};
	if_block(V, (e) => {
		n.view.state.rules.length && e(H);
	});
	var U = sibling(V, 2), W = (e) => {
		var n = root_17$1(), r = first_child(n), i = child(r), o = only_child(i, !0), s = sibling(i, 2), c = child(s), l = only_child(c, !0), u = sibling(c);
		each(u, 21, () => get(a).capability_ceiling, index, (e, n) => {
			var r = root_11$1(), i = only_child(r, !0);
			template_effect(() => set_text(i, get(n))), append(e, r);
		}, (e) => {
			next();
			var n = text();
			template_effect((e) => set_text(n, e), [() => t("nothingThere")]), append(e, n);
		}), reset(u);
		var d = sibling(u, 2), f = only_child(d, !0), p = sibling(d), m = only_child(p, !0), h = sibling(p, 2), g = only_child(h, !0), _ = sibling(h), v = only_child(_, !0), y = sibling(_, 2), b = only_child(y, !0), x = sibling(y);
		each(x, 21, () => get(a).grants, index, (e, n) => {
			var r = root_15$1(), i = child(r), a = only_child(i, !0), o = sibling(i, 2), s = only_child(o);
			reset(r), template_effect((e, r) => {
				set_text(a, get(n).capability), set_text(s, `${e ?? ""} · ${r ?? ""}`);
			}, [() => id(get(n).granted_by), () => moment(get(n).granted_at)]), append(e, r);
		}, (e) => {
			next();
			var n = text();
			template_effect((e) => set_text(n, e), [() => t("nothingThere")]), append(e, n);
		}), reset(x), reset(s), reset(r);
		var S = sibling(r, 2), C = child(S), w = only_child(C, !0), T = sibling(C, 2), E = child(T), D = only_child(E, !0), O = sibling(E), k = child(O), A = sibling(k), j = only_child(A, !0);
		reset(O);
		var M = sibling(O, 2), N = only_child(M, !0), P = sibling(M);
		each(P, 21, () => get(a).chain, index, (e, n) => {
			var r = root_16$1(), i = child(r), a = only_child(i, !0), o = sibling(i, 2), s = only_child(o, !0), c = sibling(o, 2), l = only_child(c);
			reset(r), template_effect((e, n, r, i) => {
				set_text(a, e), set_text(s, n), set_text(l, `${r ?? ""} · ${i ?? ""}`);
			}, [
				() => id(get(n).old_did, 12),
				() => id(get(n).new_did, 12),
				() => moment(get(n).rotated_at),
				() => t("proofVerified")
			]), append(e, r);
		}, (e) => {
			next();
			var n = text();
			template_effect((e) => set_text(n, e), [() => t("nothingThere")]), append(e, n);
		}), reset(P), reset(T), reset(S), template_effect((e, n, r, i, a, s, c, u, d, p, h, _) => {
			set_text(o, e), set_text(l, n), set_text(f, r), set_text(m, i), set_text(g, a), set_text(v, s), set_text(b, c), set_text(w, u), set_text(D, d), set_text(k, `${p ?? ""} `), set_text(j, h), set_text(N, _);
		}, [
			() => t("mayDo"),
			() => t("ceiling"),
			() => t("perPayment"),
			() => usd(get(a).economic_limits.max_spend_per_tx_micro_credits),
			() => t("perSession"),
			() => usd(get(a).economic_limits.max_spend_per_session_micro_credits),
			() => t("grants"),
			() => t("beliefs"),
			() => t("reputation"),
			() => percent(get(a).reputation.overall_micro / 1e6),
			() => t("ofTasks", {
				done: whole(get(a).reputation.tasks_completed),
				failed: whole(get(a).reputation.tasks_failed)
			}),
			() => t("rotations")
		]), append(e, n);
	};
	if_block(U, (e) => {
		get(a) && e(W);
	});
	var G = sibling(U, 2), K = (e) => {
		var r = root_14$1(), i = child(r), a = only_child(i, !0), o = sibling(i);
		each(o, 21, () => n.view.state.identity.toReversed(), index, (e, n) => {
			var r = root_18$1(), i = child(r), a = only_child(i), o = sibling(i), s = sibling(o), c = only_child(s, !0);
			reset(r), template_effect(() => {
				set_text(a, `#${get(n).seq ?? ""}`), set_text(o, ` ${get(n).type ?? ""} `), set_text(c, get(n).detail);
			}), delegated("click", i, () => route.set({
				mid: "journal",
				event: get(n).seq
			})), append(e, r);
		}), reset(o), reset(r), template_effect((e) => set_text(a, e), [() => t("identityEvents")]), append(e, r);
	};
	if_block(G, (e) => {
		n.view.state.identity.length && e(K);
	});
	var q = sibling(G, 2), J = (e) => {
		var n = root_19(), r = child(n), a = only_child(r, !0), o = sibling(r);
		each(o, 21, () => get(i).tools, index, (e, n) => {
			var r = root_11$1(), i = only_child(r, !0);
			template_effect(() => set_text(i, get(n))), append(e, r);
		}), reset(o), reset(n), template_effect((e) => set_text(a, e), [() => t("tools")]), append(e, n);
	};
	if_block(q, (e) => {
		get(i) && e(J);
	}), reset(f);
	var Y = sibling(f, 2), X = (e) => {
		{
			let r = user_derived(() => get(o) || ui.aboutRead);
			Source(e, {
				get view() {
					return n.view;
				},
				events: "SessionCreated, anima.*, GET /anima/identities",
				get read() {
					return get(r);
				}
			});
		}
	}, Z = (e) => {
		Source(e, {
			get view() {
				return n.view;
			},
			events: "SessionCreated, anima.*"
		});
	};
	if_block(Y, (e) => {
		get(i) ? e(X) : e(Z, -1);
	}), template_effect((e, n, i, a, o, s, c, l, u) => {
		set_attribute(f, "aria-label", e), set_text(_, n), set_text(x, get(r).id), set_text(C, i), set_text(E, get(r).agent), set_text(O, a), set_text(A, o), set_text(M, s), set_text(P, c), set_text(I, l), set_text(R, u);
	}, [
		() => t("identity"),
		() => t("sessionId"),
		() => t("agentId"),
		() => t("owner"),
		() => get(r).owner || t("nobody"),
		() => t("provider"),
		() => get(r).provider || n.view.state.runs.at(-1)?.provider || t("notReported"),
		() => t("created"),
		() => get(r).created ? moment(get(r).created) : t("notReported")
	]), append(e, d), pop();
}
delegate(["click"]);
// src/panels/Inbox.svelte
var root$11 = from_html("<p class=\"blank\"> </p>"), root_1$10 = from_html("<button class=\"quiet\"> </button>"), root_2$8 = from_html("<section class=\"inbox-item\"><div class=\"row between\"><span class=\"soft\"> </span><button class=\"quiet small\"> </button></div> <!></section>"), root_3$7 = from_html("<section class=\"inbox-item\"><!></section>"), root_4$6 = from_html("<!> <!> <!> <!>", 1);
function Inbox(e, n) {
	push(n, !0), ui.readInbox();
	let r = user_derived(() => {
		let e = new Map();
		for (let n of ui.waiting) (n.risk === "low" || n.risk === "medium") && e.set(`${n.tool_name} ${n.risk}`, [...e.get(`${n.tool_name} ${n.risk}`) ?? [], n]);
		return [...e.values()].filter((e) => e.length > 1);
	});
	async function i(e) {
		await ui.attempt(() => Promise.all(e.map((e) => send("POST", `/sessions/${encodeURIComponent(e.session_id)}/approvals/${e.approval_id}?branch=${encodeURIComponent(e.branch)}`, { approved: !0 })))), await ui.readInbox();
	}
	{
		let n = user_derived(() => t("inbox"));
		Dialog(e, {
			get title() {
				return get(n);
			},
			beside: !0,
			onclose: () => ui.overlay === "inbox" && (ui.overlay = ""),
			children: (e, n) => {
				var a = root_4$6(), o = first_child(a), s = (e) => {
					var n = root$11(), r = only_child(n, !0);
					template_effect((e) => set_text(r, e), [() => t("inboxEmpty")]), append(e, n);
				};
				if_block(o, (e) => {
					!ui.waiting.length && !ui.payments.length && e(s);
				});
				var c = sibling(o, 2);
				each(c, 17, () => get(r), index, (e, n) => {
					var r = root_1$10(), a = only_child(r);
					template_effect((e) => set_text(a, `${e ?? ""} (${get(n)[0]?.tool_name ?? ""})`), [() => t("batchApprove", { n: get(n).length })]), delegated("click", r, () => i(get(n))), append(e, r);
				});
				var l = sibling(c, 2);
				each(l, 17, () => ui.waiting, (e) => e.approval_id, (e, n) => {
					var r = root_2$8(), i = child(r), a = child(i), o = only_child(a), s = sibling(a), c = only_child(s, !0);
					reset(i);
					var l = sibling(i, 2);
					Approval(l, { get call() {
						return get(n);
					} }), reset(r), template_effect((e) => {
						set_text(o, `${get(n).session_id ?? ""}${get(n).branch === "main" ? "" : ` · ${get(n).branch}`}`), set_text(c, e);
					}, [() => t("openSession")]), delegated("click", s, () => {
						ui.overlay = "", route.go(get(n).session_id, get(n).branch === "main" ? {} : { branch: get(n).branch });
					}), append(e, r);
				});
				var u = sibling(l, 2);
				each(u, 17, () => ui.payments, (e) => e.ticket_id, (e, n) => {
					var r = root_3$7(), i = child(r);
					PaymentQuestion(i, { get ask() {
						return get(n);
					} }), reset(r), append(e, r);
				}), append(e, a);
			},
			$$slots: { default: !0 }
		});
	}
	pop();
}
delegate(["click"]);
// src/panels/Journal.svelte
var root$10 = from_html("<option> </option>"), root_1$9 = from_html("<p class=\"blank\"> </p>"), root_2$7 = from_html("<button><span class=\"num soft\"> </span> <span class=\"num soft\"> </span> <span class=\"event-kind\"> </span> <span class=\"event-what\"> </span></button>"), root_3$6 = from_html("<button class=\"quiet small\"> </button>"), root_4$5 = from_html("<dt> </dt><dd><code> </code></dd>", 1), root_5$5 = from_html("<header class=\"row wrap\"><strong> </strong><span class=\"soft\"> </span><span class=\"grow\"></span> <button class=\"quiet small\"> </button> <!> <!> <button class=\"quiet small icon\">✕</button></header> <dl class=\"facts small-text\"><dt>id</dt><dd><code> </code></dd> <!> <!></dl> <!>", 1), root_6$4 = from_html("<p class=\"soft\"> </p>"), root_7$4 = from_html("<section class=\"detail\"><!></section>"), root_8$3 = from_html("<div class=\"bar\"><input type=\"search\"/> <select><option> </option><option> </option><!></select> <select><option> </option><option> </option><option> </option><option> </option></select> <span class=\"soft num\" role=\"status\"> </span></div> <!> <!> <!>", 1);
function Journal(e, n) {
	push(n, !0);
	let r = user_derived(() => route.get("q")), i = user_derived(() => route.get("kind")), a = user_derived(() => n.view.shown), o = user_derived(() => route.get("actor")), s = user_derived(() => get(r).trim() !== "" || get(i) !== "" || get(o) !== ""), c = [
		...Object.entries(FAMILIES).filter(([e]) => e !== "state" && e !== "run").flatMap(([, e]) => e),
		"Run",
		"Error",
		"CircuitBreaker",
		"arcan.run_"
	], l = state([]), u = state(!0), d = 0;
	user_effect(() => {
		let [e, f, p, m] = [
			get(r).trim(),
			get(i),
			get(a),
			get(o)
		];
		if (!get(s)) return;
		let h = ++d, g = f === "quiet" ? c : f ? FAMILIES[f] ?? [] : [];
		if (offline) {
			let r = e.toLowerCase().split(/\s+/).filter(Boolean);
			((e) => {
				var n = to_array(e, 2);
				set(l, n[0]), set(u, n[1], !0);
			})([n.view.loaded(1, p).filter((e) => (!f || g.some((n) => kindName(e).startsWith(n))) && (!m || e.actor.type === m) && r.every((n) => JSON.stringify(e.kind).toLowerCase().includes(n))).map((e) => e.sequence), !0]);
			return;
		}
		let _ = setTimeout(() => {
			get$1(at(n.view.id, "/workspace/search", {
				branch: n.view.branch,
				q: e,
				kind: g.join(","),
				actor: m,
				at: p,
				limit: 500
			})).then((e) => {
				h === d && ((e) => {
					var n = to_array(e, 2);
					set(l, n[0]), set(u, n[1], !0);
				})([e.found.map((e) => e.sequence).reverse(), e.complete]);
			}, () => void 0);
		}, 150);
		return () => clearTimeout(_);
	});
	let f = user_derived(() => get(s) ? get(l).length : get(a)), p = (e) => get(s) ? get(l)[e] ?? 0 : e + 1, m = user_derived(() => Number(route.get("event", "0"))), h = user_derived(() => get(m) ? get(s) ? get(l).indexOf(get(m)) : get(m) - 1 : -1), g = user_derived(() => get(m) ? n.view.record(get(m)) : void 0);
	var _ = root_8$3(), v = first_child(_), y = child(v);
	remove_input_defaults(y);
	var b = sibling(y, 2), x = child(b), S = only_child(x, !0);
	x.value = x.__value = "";
	var C = sibling(x), w = only_child(C, !0);
	C.value = C.__value = "quiet";
	var T = sibling(C);
	each(T, 17, () => Object.keys(FAMILIES), index, (e, n) => {
		var r = root$10(), i = only_child(r, !0), a = {};
		template_effect((e) => {
			set_text(i, e), a !== (a = get(n)) && (r.value = (r.__value = a) ?? "");
		}, [() => term("fam_", get(n))]), append(e, r);
	}), reset(b);
	var E;
	init_select(b);
	var D = sibling(b, 2), O = child(D), k = only_child(O, !0);
	O.value = O.__value = "";
	var A = sibling(O), j = only_child(A, !0);
	A.value = A.__value = "user";
	var M = sibling(A), N = only_child(M, !0);
	M.value = M.__value = "agent";
	var P = sibling(M), F = only_child(P, !0);
	P.value = P.__value = "system", reset(D);
	var I;
	init_select(D);
	var L = sibling(D, 2), R = only_child(L, !0);
	reset(v);
	var z = sibling(v, 2), B = (e) => {
		var n = root_1$9(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("noEvents")]), append(e, n);
	}, V = (e) => {
		{
			let r = (e, r = noop) => {
				let i = user_derived(() => p(r())), a = user_derived(() => n.view.record(get(i)));
				var o = root_2$7(), s = child(o), c = only_child(s, !0), l = sibling(s, 2), u = only_child(l, !0), d = sibling(l, 2), f = only_child(d, !0), h = sibling(d, 2), g = only_child(h, !0);
				reset(o), template_effect((e, n, r, a) => {
					set_class(o, 1, `event fam-${e ?? ""}`), set_attribute(o, "aria-current", get(i) === get(m) ? "true" : void 0), set_text(c, get(i)), set_text(u, n), set_text(f, r), set_text(g, a);
				}, [
					() => get(a) ? family(kindName(get(a))) : "other",
					() => get(a) ? time(get(a).timestamp) : "",
					() => get(a) ? kindName(get(a)) : "…",
					() => get(a) ? summary(get(a)) : ""
				]), delegated("click", o, () => route.set({ event: get(i) }, !0)), delegated("dblclick", o, () => void n.view.seek(get(i))), append(e, o);
			}, i = user_derived(() => t("journal")), a = user_derived(() => get(h) >= 0 ? get(h) : -1), o = user_derived(() => n.view.position === null && !get(s));
			VirtualList(e, {
				get count() {
					return get(f);
				},
				height: 28,
				get label() {
					return get(i);
				},
				get focus() {
					return get(a);
				},
				get follow() {
					return get(o);
				},
				row: r,
				$$slots: { row: !0 }
			});
		}
	};
	if_block(z, (e) => {
		get(f) ? e(V, -1) : e(B);
	});
	var H = sibling(z, 2), U = (e) => {
		var r = root_7$4(), i = child(r), a = (e) => {
			var r = root_5$5(), i = first_child(r), a = child(i), o = only_child(a), s = sibling(a), c = only_child(s), l = sibling(s, 3), u = only_child(l, !0), d = sibling(l, 2), f = (e) => {
				var n = root_3$6(), r = only_child(n, !0);
				template_effect((e) => set_text(r, e), [() => t("branchHere")]), delegated("click", n, () => ui.branchFrom(get(m))), append(e, n);
			};
			if_block(d, (e) => {
				offline || e(f);
			});
			var p = sibling(d, 2);
			{
				let e = user_derived(() => JSON.stringify(get(g), null, 2)), n = user_derived(() => t("copy"));
				Copy(p, {
					get text() {
						return get(e);
					},
					get label() {
						return get(n);
					}
				});
			}
			var h = sibling(p, 2);
			reset(i);
			var _ = sibling(i, 2), v = sibling(child(_)), y = child(v), b = only_child(y, !0);
			reset(v);
			var x = sibling(v, 2), S = (e) => {
				var n = root_4$5(), r = first_child(n), i = only_child(r, !0), a = sibling(r), o = child(a), s = only_child(o, !0);
				reset(a), template_effect((e) => {
					set_text(i, e), set_text(s, get(g).correlation_id);
				}, [() => t("correlation")]), append(e, n);
			};
			if_block(x, (e) => {
				get(g).correlation_id && e(S);
			});
			var C = sibling(x, 2), w = (e) => {
				var n = root_4$5(), r = first_child(n), i = only_child(r, !0), a = sibling(r), o = child(a), s = only_child(o, !0);
				reset(a), template_effect((e) => {
					set_text(i, e), set_text(s, get(g).causation_id);
				}, [() => t("causation")]), append(e, n);
			};
			if_block(C, (e) => {
				get(g).causation_id && e(w);
			}), reset(_);
			var T = sibling(_, 2);
			Json(T, {
				get value() {
					return get(g).kind;
				},
				most: 14,
				label: "kind"
			}), template_effect((e, n, r) => {
				set_text(o, `#${get(m) ?? ""} ${e ?? ""}`), set_text(c, `${get(g).actor.type ?? ""}${get(g).actor.component ? ` · ${get(g).actor.component}` : ""}`), set_text(u, n), set_attribute(h, "aria-label", r), set_text(b, get(g).event_id);
			}, [
				() => kindName(get(g)),
				() => t("viewHere"),
				() => t("close")
			]), delegated("click", l, () => void n.view.seek(get(m))), delegated("click", h, () => route.set({ event: null }, !0)), append(e, r);
		}, o = (e) => {
			var n = root_6$4(), r = only_child(n, !0);
			template_effect((e) => set_text(r, e), [() => t("loading")]), append(e, n);
		};
		if_block(i, (e) => {
			get(g) ? e(a) : e(o, -1);
		}), reset(r), template_effect((e) => set_attribute(r, "aria-label", e), [() => t("event", { n: get(m) })]), append(e, r);
	};
	if_block(H, (e) => {
		get(m) && e(U);
	});
	var W = sibling(H, 2);
	{
		let e = user_derived(() => t("allKinds").toLowerCase());
		Source(W, {
			get view() {
				return n.view;
			},
			get events() {
				return get(e);
			},
			get seq() {
				return get(a);
			}
		});
	}
	template_effect((e, n, a, s, c, l, u, d, f, p, m) => {
		set_value(y, get(r)), set_attribute(y, "placeholder", e), set_attribute(y, "aria-label", n), set_attribute(b, "aria-label", a), set_text(S, s), set_text(w, c), E !== (E = get(i)) && (b.value = (b.__value = E) ?? "", select_option(b, E)), set_attribute(D, "aria-label", l), set_text(k, u), set_text(j, d), set_text(N, f), set_text(F, p), I !== (I = get(o)) && (D.value = (D.__value = I) ?? "", select_option(D, I)), set_text(R, m);
	}, [
		() => t("searchJournal"),
		() => t("searchJournal"),
		() => t("kindCol"),
		() => t("allKinds"),
		() => t("noNoise"),
		() => t("actorCol"),
		() => t("anyActor"),
		() => t("byUser"),
		() => t("byAgent"),
		() => t("bySystem"),
		() => get(s) ? t(get(u) ? "foundN" : "foundMore", { n: get(l).length }) : t("eventsN", { n: whole(get(a)) })
	]), delegated("input", y, (e) => route.set({ q: e.currentTarget.value }, !0)), delegated("change", b, (e) => route.set({ kind: e.currentTarget.value })), delegated("change", D, (e) => route.set({ actor: e.currentTarget.value })), append(e, _), pop();
}
delegate([
	"input",
	"change",
	"click",
	"dblclick"
]);
// src/panels/Judge.svelte
var root$9 = from_html("<p class=\"blank\"> </p>"), root_1$8 = from_html("<dl class=\"tiles\"><div><dt> </dt><dd> </dd></div> <div><dt> </dt><dd> </dd></div> <div><dt> </dt><dd> </dd></div></dl>"), root_2$6 = from_html("<p class=\"soft small-text pad\"> </p>"), root_3$5 = from_html("<i></i><i></i>", 1), root_4$4 = from_html("<p> </p>"), root_5$4 = from_html("<p class=\"soft small-text\"> </p>"), root_6$3 = from_html("&nbsp;<button class=\"quiet small seq\"> </button>", 1), root_7$3 = from_html("<section><h3><span> </span> <span> </span></h3> <div class=\"meter\"><span> </span><span class=\"num\"> </span> <span class=\"meter-track\" role=\"meter\"><span></span><!></span></div> <!> <p class=\"soft small-text\"> <button class=\"quiet small seq\"> </button><!></p></section>"), root_8$2 = from_html("<p class=\"pad error-text\"><button class=\"quiet small seq\"> </button> </p>"), root_9$1 = from_html("<div class=\"scrolls\" role=\"group\" tabindex=\"0\"><!> <!> <!> <!> <!></div> <!>", 1);
function Judge(e, n) {
	push(n, !0);
	let r = user_derived(() => n.view.state.quality), i = user_derived(() => ui.about?.judge_bands), a = user_derived(() => {
		let e = new Map();
		for (let r of n.view.state.scores.toReversed()) e.set(`${r.timing} ${r.evaluator}`, [...e.get(`${r.timing} ${r.evaluator}`) ?? [], r]);
		return [...e.values()].sort((e, n) => (n[0]?.seq ?? 0) - (e[0]?.seq ?? 0));
	}), o = user_derived(() => n.view.state.judge.filter((e) => e.type === "eval.judge_failed")), s = (e) => route.set({
		mid: "journal",
		event: e
	});
	var c = root_9$1(), l = first_child(c), u = child(l), d = (e) => {
		var n = root$9(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("noJudge")]), append(e, n);
	};
	if_block(u, (e) => {
		!get(a).length && !n.view.state.judge.length && e(d);
	});
	var f = sibling(u, 2), p = (e) => {
		var n = root_1$8(), i = child(n), a = child(i), o = only_child(a, !0), s = sibling(a), c = only_child(s, !0);
		reset(i);
		var l = sibling(i, 2), u = child(l), d = only_child(u, !0), f = sibling(u), p = only_child(f);
		reset(l);
		var m = sibling(l, 2), h = child(m), g = only_child(h, !0), _ = sibling(h), v = only_child(_, !0);
		reset(m), reset(n), template_effect((e, n, i, a, s) => {
			set_text(o, e), set_text(c, n), set_text(d, i), set_text(p, `${get(r).trend > 0 ? "▲ " : get(r).trend < 0 ? "▼ " : ""}${a ?? ""}`), set_text(g, s), set_text(v, get(r).inline + get(r).judged);
		}, [
			() => t("quality"),
			() => decimal(get(r).value),
			() => t("trend"),
			() => decimal(get(r).trend),
			() => t("evaluations")
		]), append(e, n);
	};
	if_block(f, (e) => {
		get(r) && e(p);
	});
	var m = sibling(f, 2), h = (e) => {
		var n = root_2$6(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("bands", {
			good: decimal(get(i).good),
			warning: decimal(get(i).warning)
		})]), append(e, n);
	};
	if_block(m, (e) => {
		get(i) && get(a).length && e(h);
	});
	var g = sibling(m, 2);
	each(g, 17, () => get(a), (e) => `${e[0]?.timing} ${e[0]?.evaluator}`, (e, n) => {
		let r = user_derived(() => get(n)[0]);
		var a = comment(), o = first_child(a), c = (e) => {
			var a = root_7$3(), o = child(a), c = child(o), l = only_child(c, !0), u = sibling(c, 2), d = only_child(u, !0);
			reset(o);
			var f = sibling(o, 2), p = child(f), m = only_child(p, !0), h = sibling(p), g = only_child(h, !0), _ = sibling(h, 2);
			set_attribute(_, "aria-valuemin", 0), set_attribute(_, "aria-valuemax", 1);
			var v = child(_);
			let y;
			var b = sibling(v), x = (e) => {
				var n = root_3$5(), r = first_child(n);
				let a;
				var o = sibling(r);
				let s;
				template_effect(() => {
					a = set_style(r, "", a, { left: `${get(i).warning * 100}%` }), s = set_style(o, "", s, { left: `${get(i).good * 100}%` });
				}), append(e, n);
			};
			if_block(b, (e) => {
				get(i) && e(x);
			}), reset(_), reset(f);
			var S = sibling(f, 2), C = (e) => {
				var n = root_4$4(), i = only_child(n, !0);
				template_effect(() => set_text(i, get(r).why)), append(e, n);
			}, w = (e) => {
				var n = root_5$4(), r = only_child(n, !0);
				template_effect((e) => set_text(r, e), [() => t("noRationale")]), append(e, n);
			};
			if_block(S, (e) => {
				get(r).why ? e(C) : e(w, -1);
			});
			var T = sibling(S, 2), E = child(T), D = sibling(E), O = only_child(D), k = sibling(D);
			each(k, 17, () => get(n).slice(1, 8), index, (e, n) => {
				next();
				var r = root_6$3(), i = sibling(first_child(r)), a = only_child(i);
				template_effect((e) => set_text(a, `#${get(n).seq ?? ""} ${e ?? ""}`), [() => decimal(get(n).value)]), delegated("click", i, () => s(get(n).seq)), append(e, r);
			}), reset(T), reset(a), template_effect((e, n, i, o, s, c) => {
				set_class(a, 1, `pad score band-${get(r).label ?? ""}`), set_text(l, get(r).evaluator), set_class(u, 1, `tag ${get(r).label === "good" ? "good" : get(r).label === "critical" ? "bad" : "wait"}`), set_text(d, e), set_text(m, n), set_text(g, i), set_attribute(_, "aria-label", get(r).evaluator), set_attribute(_, "aria-valuenow", get(r).value), y = set_style(v, "", y, { width: o }), set_text(E, `${s ?? ""} · ${c ?? ""} · `), set_text(O, `#${get(r).seq ?? ""}`);
			}, [
				() => term("band_", get(r).label),
				() => t("score"),
				() => decimal(get(r).value),
				() => `${Math.max(0, Math.min(1, get(r).value)) * 100}%`,
				() => t(get(r).timing === "inline" ? "byHeuristic" : "byJudge"),
				() => get(r).layer || t("notReported")
			]), delegated("click", D, () => s(get(r).seq)), append(e, a);
		};
		if_block(o, (e) => {
			get(r) && e(c);
		}), append(e, a);
	});
	var _ = sibling(g, 2);
	each(_, 17, () => get(o), index, (e, n) => {
		var r = root_8$2(), i = child(r), a = only_child(i), o = sibling(i);
		reset(r), template_effect((e) => {
			set_text(a, `#${get(n).seq ?? ""}`), set_text(o, ` ${e ?? ""} ${get(n).detail ?? ""}`);
		}, [() => t("judgeFailed")]), delegated("click", i, () => s(get(n).seq)), append(e, r);
	}), reset(l);
	var v = sibling(l, 2);
	Source(v, {
		get view() {
			return n.view;
		},
		events: "eval.*"
	}), template_effect((e) => set_attribute(l, "aria-label", e), [() => t("judge")]), append(e, c), pop();
}
delegate(["click"]);
// src/panels/Ledger.svelte
var root$8 = from_html("<p class=\"soft pad small-text\"> </p>"), root_1$7 = from_html("<p class=\"soft\"> </p>"), root_2$5 = from_html("<section class=\"pad\"><h3> </h3><!></section>"), root_3$4 = from_html("<section class=\"pad\"><h3> <span class=\"soft\"> </span></h3> <dl class=\"facts\"><dt> </dt><dd> </dd> <dt> </dt><dd> </dd> <dt> </dt><dd> </dd> <dt> </dt><dd> </dd> <dt> </dt><dd> </dd></dl></section>"), root_4$3 = from_html("<p class=\"pad soft small-text\"> <button class=\"quiet small\"> </button></p>"), root_5$3 = from_html("<tr><td> <span class=\"soft\"> </span></td><td class=\"num\"> </td><td class=\"num\"> </td><td class=\"num\"> </td></tr>"), root_6$2 = from_html("<section class=\"pad\"><h3> </h3><div class=\"scroll\"><table><thead><tr><th scope=\"col\"> </th><th scope=\"col\" class=\"num\"> </th><th scope=\"col\" class=\"num\"> </th><th scope=\"col\" class=\"num\"> </th></tr></thead><tbody></tbody></table></div></section>"), root_7$2 = from_html("<div class=\"scrolls\" role=\"group\" tabindex=\"0\"><dl class=\"tiles\"><div><dt> </dt><dd> </dd></div> <div><dt> </dt><dd> </dd></div> <div><dt> </dt><dd> </dd></div></dl> <!> <!> <section class=\"pad\"><h3> </h3> <!></section> <!> <!> <!></div> <!>", 1);
function Ledger(e, n) {
	push(n, !0);
	let r = new Told(untrack(() => n.view), "/cost"), i = user_derived(() => n.view.state), a = state([]), o = state(0);
	user_effect(() => {
		get(i).totals.calls, get(i).totals.ok, ui.payments, offline || n.view.position !== null || get$1(at(n.view.id, "/workspace/money")).then((e) => {
			set(a, e.events), set(o, Date.now(), !0);
		}, () => void 0);
	});
	let s = user_derived(() => {
		let e = emptyState();
		for (let r of get(a)) (n.view.position === null || r.timestamp <= get(i).time) && advance(e, r);
		return e;
	}), c = user_derived(() => [...get(i).payments, ...get(s).payments]), l = user_derived(() => get(i).totals.spent_micro + get(s).totals.spent_micro), u = user_derived(() => ui.about?.payments);
	var d = root_7$2(), f = first_child(d), p = child(f), m = child(p), h = child(m), g = only_child(h, !0), _ = sibling(h), v = only_child(_, !0);
	reset(m);
	var y = sibling(m, 2), b = child(y), x = only_child(b, !0), S = sibling(b), C = only_child(S, !0);
	reset(y);
	var w = sibling(y, 2), T = child(w), E = only_child(T, !0), D = sibling(T), O = only_child(D, !0);
	reset(w), reset(p);
	var k = sibling(p, 2), A = (e) => {
		var n = root$8(), r = only_child(n);
		template_effect((e) => set_text(r, `* ${e ?? ""}`), [() => t("unpriced", { n: get(i).totals.uncosted })]), append(e, n);
	};
	if_block(k, (e) => {
		get(i).totals.uncosted && get(i).totals.steps > get(i).totals.uncosted && e(A);
	});
	var j = sibling(k, 2), M = (e) => {
		var n = root_2$5(), r = child(n), i = only_child(r, !0), a = sibling(r), o = (e) => {
			{
				let n = user_derived(() => get(c).at(-1)?.amount_micro ?? 0);
				Ruler(e, {
					get policy() {
						return get(u);
					},
					get amount() {
						return get(n);
					}
				});
			}
		}, s = (e) => {
			var n = root_1$7(), r = only_child(n, !0);
			template_effect((e) => set_text(r, e), [() => t("paymentsOff")]), append(e, n);
		};
		if_block(a, (e) => {
			get(u).enabled ? e(o) : e(s, -1);
		}), reset(n), template_effect((e) => set_text(i, e), [() => t("policy")]), append(e, n);
	};
	if_block(j, (e) => {
		get(u) && e(M);
	});
	var N = sibling(j, 2), P = child(N), F = only_child(P, !0), I = sibling(P, 2);
	each(I, 17, () => get(c).toReversed(), index, (e, n) => {
		PaymentCard(e, { get payment() {
			return get(n);
		} });
	}, (e) => {
		var n = root_1$7(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("noPayments")]), append(e, n);
	}), reset(N);
	var L = sibling(N, 2), R = (e) => {
		var n = root_3$4(), i = child(n), a = child(i), o = sibling(a), s = only_child(o, !0);
		reset(i);
		var c = sibling(i, 2), l = child(c), u = only_child(l, !0), d = sibling(l), f = only_child(d, !0), p = sibling(d, 2), m = only_child(p, !0), h = sibling(p), g = only_child(h, !0), _ = sibling(h, 2), v = only_child(_, !0), y = sibling(_), b = only_child(y, !0), x = sibling(y, 2), S = only_child(x, !0), C = sibling(x), w = only_child(C, !0), T = sibling(C, 2), E = only_child(T, !0), D = sibling(T), O = only_child(D, !0);
		reset(c), reset(n), template_effect((e, n, i, o, c, l, d, p, h, _, y) => {
			set_text(a, `${e ?? ""} `), set_text(s, n), set_text(u, i), set_text(f, o), set_text(m, c), set_text(g, r.value.economic_mode), set_text(v, l), set_text(b, d), set_text(S, p), set_text(w, h), set_text(E, _), set_text(O, y);
		}, [
			() => t("agentMoney"),
			() => new Date(r.read).toLocaleTimeString(),
			() => t("balance"),
			() => r.value.balance_micro_credits === null ? t("notReported") : usd(r.value.balance_micro_credits),
			() => t("economicMode"),
			() => t("lifetimeCost"),
			() => usd(r.value.lifetime_costs_micro),
			() => t("lastMinutes"),
			() => usd(r.value.cost_last_5min_micro),
			() => t("runway"),
			() => r.value.runway_days === null ? t("notReported") : t("days", { n: whole(Math.floor(r.value.runway_days)) })
		]), append(e, n);
	};
	if_block(L, (e) => {
		r.value && n.view.position === null && e(R);
	});
	var z = sibling(L, 2), B = (e) => {
		var n = root_4$3(), r = child(n), i = sibling(r), a = only_child(i, !0);
		reset(n), template_effect((e, n) => {
			set_text(r, `${e ?? ""} `), set_text(a, n);
		}, [() => t("hiresInSpaces"), () => t("spaces")]), delegated("click", i, () => route.set({
			mid: "spaces",
			pane: "mid"
		})), append(e, n);
	};
	if_block(z, (e) => {
		get(i).hires.length && e(B);
	});
	var V = sibling(z, 2), H = (e) => {
		var n = root_6$2(), r = child(n), a = only_child(r, !0), o = sibling(r), s = child(o), c = child(s), l = child(c), u = child(l), d = only_child(u, !0), f = sibling(u), p = only_child(f, !0), m = sibling(f), h = only_child(m, !0), g = sibling(m), _ = only_child(g, !0);
		reset(l), reset(c);
		var v = sibling(c);
		each(v, 21, () => get(i).runs.slice(-20).toReversed(), index, (e, n) => {
			var r = root_5$3(), i = child(r), a = child(i), o = sibling(a), s = only_child(o, !0);
			reset(i);
			var c = sibling(i), l = only_child(c, !0), u = sibling(c), d = only_child(u, !0), f = sibling(u), p = only_child(f, !0);
			reset(r), template_effect((e, n, r, i, o) => {
				set_text(a, `${e ?? ""} `), set_text(s, n), set_text(l, r), set_text(d, i), set_text(p, o);
			}, [
				() => time(get(n).started),
				() => get(n).reason || t("open"),
				() => whole(get(n).steps),
				() => whole(get(n).prompt + get(n).completion),
				() => get(n).steps > get(n).uncosted ? usd(get(n).cost_micro) : "—"
			]), append(e, r);
		}), reset(v), reset(s), reset(o), reset(n), template_effect((e, n, r, i, o) => {
			set_text(a, e), set_text(d, n), set_text(p, r), set_text(h, i), set_text(_, o);
		}, [
			() => t("byRun"),
			() => t("spanStart"),
			() => t("steps"),
			() => t("tokens"),
			() => t("modelCost")
		]), append(e, n);
	};
	if_block(V, (e) => {
		get(i).runs.length && e(H);
	}), reset(f);
	var U = sibling(f, 2), W = (e) => {
		Source(e, {
			get view() {
				return n.view;
			},
			events: "finance.* (wallet), Message, Run*",
			get read() {
				return get(o);
			}
		});
	}, G = (e) => {
		Source(e, {
			get view() {
				return n.view;
			},
			events: "finance.*, Message, Run*"
		});
	};
	if_block(U, (e) => {
		get(a).length || get(o) ? e(W) : e(G, -1);
	}), template_effect((e, n, r, i, a, o, s, c, l) => {
		set_attribute(f, "aria-label", e), set_text(g, n), set_text(v, r), set_text(x, i), set_attribute(S, "title", a), set_text(C, o), set_text(E, s), set_text(O, c), set_text(F, l);
	}, [
		() => t("ledger"),
		() => t("modelCost"),
		() => get(i).totals.steps > get(i).totals.uncosted ? usd(get(i).totals.cost_micro) : t("notReported"),
		() => t("paid"),
		() => micro(get(l)),
		() => get(c).length ? usd(get(l)) : "—",
		() => t("tokens"),
		() => get(i).totals.steps ? whole(get(i).totals.prompt + get(i).totals.completion) : "—",
		() => t("payments")
	]), append(e, d), pop();
}
delegate(["click"]);
// src/panels/Palette.svelte
var root$7 = from_html("<li role=\"option\"><span> </span><code> </code></li>"), root_1$6 = from_html("<input role=\"combobox\" aria-expanded=\"true\" aria-controls=\"palette-list\"/> <ul id=\"palette-list\" class=\"palette\" role=\"listbox\"></ul>", 1);
function Palette(e, n) {
	push(n, !0);
	let r = state(""), i = state(0), a = state(void 0), o = user_derived(() => commands(n.view)), s = user_derived(() => get(o).filter((e) => `${e.name} ${e.label}`.toLowerCase().includes(get(r).toLowerCase())));
	user_effect(() => get(a)?.focus());
	function c(e) {
		let n = get(s)[e];
		n && (ui.overlay = "", n.act());
	}
	function l(e) {
		if (e.key === "ArrowDown") set(i, Math.min(get(s).length - 1, get(i) + 1), !0);
		else if (e.key === "ArrowUp") set(i, Math.max(0, get(i) - 1), !0);
		else if (e.key === "Enter") c(get(i));
		else return;
		e.preventDefault();
	}
	{
		let n = user_derived(() => t("palette"));
		Dialog(e, {
			get title() {
				return get(n);
			},
			onclose: () => ui.overlay === "palette" && (ui.overlay = ""),
			children: (e, n) => {
				var o = root_1$6(), u = first_child(o);
				remove_input_defaults(u), bind_this(u, (e) => set(a, e), () => get(a));
				var d = sibling(u, 2);
				each(d, 23, () => get(s), (e) => e.name, (e, n, r) => {
					var a = root$7(), o = child(a), s = only_child(o, !0), l = sibling(o), u = only_child(l);
					reset(a), template_effect(() => {
						set_attribute(a, "id", `palette-${get(r) ?? ""}`), set_attribute(a, "aria-selected", get(r) === get(i)), set_text(s, get(n).label), set_text(u, `/${get(n).name ?? ""}`);
					}), delegated("click", a, () => c(get(r))), append(e, a);
				}), reset(d), template_effect((e, n, r) => {
					set_attribute(u, "placeholder", e), set_attribute(u, "aria-label", n), set_attribute(u, "aria-activedescendant", `palette-${get(i) ?? ""}`), set_attribute(d, "aria-label", r);
				}, [
					() => t("words"),
					() => t("palette"),
					() => t("palette")
				]), delegated("input", u, () => set(i, 0)), delegated("keydown", u, l), bind_value(u, () => get(r), (e) => set(r, e)), append(e, o);
			},
			$$slots: { default: !0 }
		});
	}
	pop();
}
delegate([
	"input",
	"keydown",
	"click"
]);
// src/panels/Preferences.svelte
var root$6 = from_html("<label><input type=\"radio\"/> </label>"), root_1$5 = from_html("<fieldset><legend> </legend><div class=\"segmented\"></div></fieldset>"), root_2$4 = from_html("<label><input type=\"radio\" name=\"language\"/> </label>"), root_3$3 = from_html("<!> <fieldset><legend> </legend><div class=\"segmented\"></div></fieldset> <p class=\"soft\"> </p>", 1);
function Preferences(e, n) {
	push(n, !0);
	let r = [
		[
			"theme",
			"theme",
			"theme_",
			[
				"system",
				"light",
				"dark",
				"contrast"
			]
		],
		[
			"density",
			"density",
			"density_",
			["calm", "dense"]
		],
		[
			"size",
			"textSize",
			"size_",
			[
				"small",
				"normal",
				"large"
			]
		],
		[
			"motion",
			"motion",
			"motion_",
			["system", "reduced"]
		]
	];
	{
		let n = user_derived(() => t("preferences"));
		Dialog(e, {
			get title() {
				return get(n);
			},
			onclose: () => ui.overlay === "preferences" && (ui.overlay = ""),
			children: (e, n) => {
				var i = root_3$3(), a = first_child(i);
				each(a, 17, () => r, ([e, n, r, i]) => e, (e, n) => {
					var r = user_derived(() => to_array(get(n), 4));
					let i = () => get(r)[0], a = () => get(r)[1], o = () => get(r)[2], s = () => get(r)[3];
					var c = root_1$5(), l = child(c), u = only_child(l, !0), d = sibling(l);
					each(d, 21, s, index, (e, n) => {
						var r = root$6();
						let a;
						var s = child(r);
						remove_input_defaults(s);
						var c = sibling(s, 1, !0);
						reset(r), template_effect((e) => {
							a = set_class(r, 1, "", null, a, { on: prefs[i()] === get(n) }), set_attribute(s, "name", i()), set_checked(s, prefs[i()] === get(n)), set_text(c, e);
						}, [() => term(o(), get(n))]), delegated("change", s, () => prefer({ [i()]: get(n) })), append(e, r);
					}), reset(d), reset(c), template_effect((e) => set_text(u, e), [() => t(a())]), append(e, c);
				});
				var o = sibling(a, 2), s = child(o), c = only_child(s, !0), l = sibling(s);
				each(l, 21, () => [
					["", t("theme_system")],
					["en", "English"],
					["es", "Español"]
				], index, (e, n) => {
					var r = user_derived(() => to_array(get(n), 2));
					let i = () => get(r)[0], a = () => get(r)[1];
					var o = root_2$4();
					let s;
					var c = child(o);
					remove_input_defaults(c);
					var l = sibling(c, 1, !0);
					reset(o), template_effect(() => {
						s = set_class(o, 1, "", null, s, { on: prefs.language === i() }), set_checked(c, prefs.language === i()), set_text(l, a());
					}), delegated("change", c, () => prefer({ language: i() })), append(e, o);
				}), reset(l), reset(o);
				var u = sibling(o, 2), d = only_child(u, !0);
				template_effect((e, n) => {
					set_text(c, e), set_text(d, n);
				}, [() => t("language"), () => t("limitsElsewhere")]), append(e, i);
			},
			$$slots: { default: !0 }
		});
	}
	pop();
}
delegate(["change"]);
// src/panels/Shortcuts.svelte
var root$5 = from_html("<dt><kbd> </kbd></dt><dd> </dd>", 1), root_1$4 = from_html("<dl class=\"facts\"></dl>");
function Shortcuts(e, n) {
	push(n, !0);
	let r = user_derived(() => [
		["Ctrl K", t("key_palette")],
		["← →", t("key_step")],
		["[ ]", t("key_runs")],
		["Space", t("play")],
		["L", t("key_live")],
		["M", t("key_focus")],
		["I", t("key_inbox")],
		["Ctrl .", t("preferences")],
		["?", t("key_help")]
	]);
	{
		let n = user_derived(() => t("shortcuts"));
		Dialog(e, {
			get title() {
				return get(n);
			},
			onclose: () => ui.overlay === "shortcuts" && (ui.overlay = ""),
			children: (e, n) => {
				var i = root_1$4();
				each(i, 21, () => get(r), index, (e, n) => {
					var r = user_derived(() => to_array(get(n), 2));
					let i = () => get(r)[0], a = () => get(r)[1];
					var o = root$5(), s = first_child(o), c = child(s), l = only_child(c, !0);
					reset(s);
					var u = sibling(s), d = only_child(u, !0);
					template_effect(() => {
						set_text(l, i()), set_text(d, a());
					}), append(e, o);
				}), reset(i), append(e, i);
			},
			$$slots: { default: !0 }
		});
	}
	pop();
}
// src/panels/Spaces.svelte
var root$4 = from_html("<p class=\"blank\"> </p>"), root_1$3 = from_html("<dt> </dt><dd><blockquote> </blockquote></dd>", 1), root_2$3 = from_html("<dt> </dt><dd> </dd>", 1), root_3$2 = from_html("<article><div class=\"tool-head flat\"><span class=\"icon-letter\" aria-hidden=\"true\">S</span><span class=\"tool-name\"> </span><span class=\"tool-target\"> </span><span class=\"tool-state\"> </span></div> <dl class=\"tool-body\"><dt> </dt><dd> <span class=\"soft\"> </span></dd> <dt> </dt><dd> <!><!></dd> <!> <!> <!></dl> <button class=\"quiet small\"> </button></article>"), root_4$2 = from_html("<section class=\"pad\"><h3> </h3> <!></section>"), root_5$2 = from_html("<li> <span class=\"tag\"> </span> <a> </a> <span class=\"soft\"> </span></li>"), root_6$1 = from_html("<section class=\"pad\"><h3> </h3><ul class=\"rows\"></ul></section>"), root_7$1 = from_html("<code> </code>"), root_8$1 = from_html("&nbsp;<span class=\"tag\"> </span>", 1), root_9 = from_html("&nbsp;<span> </span>", 1), root_10 = from_html("<li><strong> </strong> <!><!><!> <div class=\"soft small-text\"><!> <!> </div></li>"), root_11 = from_html("<section class=\"pad\"><h3> </h3> <ul class=\"rows\"></ul></section>"), root_12 = from_html("<button class=\"quiet small\"> </button>"), root_13 = from_html("<section class=\"pad\"><h3> </h3><p class=\"chips\"></p></section>"), root_14 = from_html("<div class=\"pre\"> </div>"), root_15 = from_html("<blockquote class=\"pre\"> </blockquote>"), root_16 = from_html("<li><span class=\"soft small-text\"> <button class=\"quiet small seq\"> </button></span> <!></li>"), root_17 = from_html("<section class=\"pad\"><h3> </h3> <ul class=\"rows talk\"></ul></section>"), root_18 = from_html("<div class=\"scrolls\" role=\"group\" tabindex=\"0\"><!> <!> <!> <!> <!> <!></div> <!>", 1);
function Spaces(e, n) {
	push(n, !0);
	let r = user_derived(() => n.view.state), i = user_derived(() => !get(r).hires.length && !get(r).contacts.length && !get(r).channels.length && !get(r).talk.length && !get(r).peers.length), a = [
		"paid",
		"rejected",
		"declined",
		"cancelled",
		"late"
	], o = (e) => e === "paid" ? "good" : a.includes(e) ? "bad" : "wait", s = (e) => route.set({
		mid: "journal",
		event: e
	});
	var c = root_18(), l = first_child(c), u = child(l), d = (e) => {
		var n = root$4(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("noSpaces")]), append(e, n);
	};
	if_block(u, (e) => {
		get(i) && e(d);
	});
	var f = sibling(u, 2), p = (e) => {
		var n = root_4$2(), i = child(n), a = only_child(i, !0), c = sibling(i, 2);
		each(c, 17, () => get(r).hires.toReversed(), index, (e, n) => {
			var r = root_3$2(), i = child(r), a = sibling(child(i)), c = only_child(a, !0), l = sibling(a), u = only_child(l, !0), d = sibling(l), f = only_child(d, !0);
			reset(i);
			var p = sibling(i, 2), m = child(p), h = only_child(m, !0), g = sibling(m), _ = child(g), v = sibling(_), y = only_child(v, !0);
			reset(g);
			var b = sibling(g, 2), x = only_child(b, !0), S = sibling(b), C = child(S, !0), w = sibling(C), T = (e) => {
				var r = text();
				template_effect((e, n) => set_text(r, ` · ${e ?? ""} ${n ?? ""}`), [() => t("paid"), () => usd(get(n).paid_micro)]), append(e, r);
			};
			if_block(w, (e) => {
				get(n).paid_micro && e(T);
			});
			var E = sibling(w), D = (e) => {
				var r = text();
				template_effect((e, n) => set_text(r, ` · ${e ?? ""} ${n ?? ""}`), [() => t("refunded"), () => usd(get(n).refunded_micro)]), append(e, r);
			};
			if_block(E, (e) => {
				get(n).refunded_micro && e(D);
			}), reset(S);
			var O = sibling(S, 2), k = (e) => {
				var r = root_1$3(), i = first_child(r), a = only_child(i, !0), o = sibling(i), s = child(o), c = only_child(s, !0);
				reset(o), template_effect((e) => {
					set_text(a, e), set_text(c, get(n).result);
				}, [() => t("result")]), append(e, r);
			};
			if_block(O, (e) => {
				get(n).result && e(k);
			});
			var A = sibling(O, 2), j = (e) => {
				var r = root_2$3(), i = first_child(r), a = only_child(i, !0), o = sibling(i), s = only_child(o, !0);
				template_effect((e) => {
					set_text(a, e), set_text(s, get(n).reason);
				}, [() => t("more")]), append(e, r);
			};
			if_block(A, (e) => {
				get(n).reason && e(j);
			});
			var M = sibling(A, 2), N = (e) => {
				var r = root_2$3(), i = first_child(r), a = only_child(i, !0), o = sibling(i), s = only_child(o, !0);
				template_effect((e, n, r) => {
					set_text(a, e), set_attribute(o, "aria-label", n), set_text(s, r);
				}, [
					() => t("rating"),
					() => String(get(n).stars),
					() => "★".repeat(Math.min(5, get(n).stars))
				]), append(e, r);
			};
			if_block(M, (e) => {
				get(n).stars && e(N);
			}), reset(p);
			var P = sibling(p, 2), F = only_child(P);
			reset(r), template_effect((e, i, a, o, s, l, d, p, m) => {
				set_class(r, 1, `tool ${e ?? ""}`), set_attribute(r, "aria-label", get(n).title), set_text(c, get(n).title), set_text(u, i), set_text(f, a), set_text(h, o), set_text(_, `${s ?? ""} `), set_text(y, l), set_text(x, d), set_text(C, p), set_text(F, `${m ?? ""} #${get(n).seq ?? ""}`);
			}, [
				() => o(get(n).state),
				() => get(n).role === "worker" ? t("workedFor", { name: get(n).name }) : get(n).name,
				() => term("hire_", get(n).state),
				() => t("price"),
				() => usd(get(n).price_micro),
				() => micro(get(n).price_micro),
				() => t("escrow"),
				() => term("escrow_", get(n).escrow) || t("notReported"),
				() => t("inJournal")
			]), delegated("click", P, () => s(get(n).seq)), append(e, r);
		}), reset(n), template_effect((e) => set_text(a, e), [() => t("hires")]), append(e, n);
	};
	if_block(f, (e) => {
		get(r).hires.length && e(p);
	});
	var m = sibling(f, 2), h = (e) => {
		var n = root_6$1(), i = child(n), a = only_child(i, !0), o = sibling(i);
		each(o, 21, () => get(r).peers, index, (e, n) => {
			var r = root_5$2(), i = child(r), a = sibling(i), o = only_child(a, !0), s = sibling(a, 2), c = only_child(s, !0), l = sibling(s, 2), u = only_child(l, !0);
			reset(r), template_effect((e) => {
				set_text(i, `${get(n).agent ?? ""} `), set_text(o, get(n).state), set_attribute(s, "href", `/workspace/${e ?? ""}`), set_text(c, get(n).session), set_text(u, get(n).detail);
			}, [() => encodeURIComponent(get(n).session)]), append(e, r);
		}), reset(o), reset(n), template_effect((e) => set_text(a, e), [() => t("peers")]), append(e, n);
	};
	if_block(m, (e) => {
		get(r).peers.length && e(h);
	});
	var g = sibling(m, 2), _ = (e) => {
		var n = root_11(), i = child(n), a = only_child(i, !0), o = sibling(i, 2);
		each(o, 21, () => get(r).contacts.toReversed(), index, (e, n) => {
			var r = root_10(), i = child(r), a = only_child(i, !0), o = sibling(i, 2), s = (e) => {
				var r = root_7$1(), i = only_child(r, !0);
				template_effect((e) => {
					set_attribute(r, "title", get(n).id), set_text(i, e);
				}, [() => id(get(n).id)]), append(e, r);
			};
			if_block(o, (e) => {
				get(n).id !== get(n).name && e(s);
			});
			var c = sibling(o), l = (e) => {
				var n = root_8$1(), r = sibling(first_child(n)), i = only_child(r, !0);
				template_effect((e) => set_text(i, e), [() => t("agent")]), append(e, n);
			};
			if_block(c, (e) => {
				get(n).agent && e(l);
			});
			var u = sibling(c), d = (e) => {
				var r = root_9(), i = sibling(first_child(r));
				let a;
				var o = only_child(i, !0);
				template_effect((e) => {
					a = set_class(i, 1, "tag", null, a, { good: get(n).presence === "online" }), set_text(o, e);
				}, [() => term("presence_", get(n).presence)]), append(e, r);
			};
			if_block(u, (e) => {
				get(n).presence && e(d);
			});
			var f = sibling(u, 2), p = child(f), m = (e) => {
				var r = text();
				template_effect((e, n) => set_text(r, `${e ?? ""} ${n ?? ""} · `), [() => t("price"), () => usd(get(n).price_micro)]), append(e, r);
			};
			if_block(p, (e) => {
				get(n).price_micro >= 0 && e(m);
			});
			var h = sibling(p), g = sibling(h), _ = (e) => {
				var r = text();
				template_effect((e) => set_text(r, ` · ${e ?? ""}`), [() => get(n).skills.join(", ")]), append(e, r);
			};
			if_block(g, (e) => {
				get(n).skills.length && e(_);
			});
			var v = sibling(g);
			reset(f), reset(r), template_effect((e, r, i) => {
				set_text(a, e), set_text(h, `${r ?? ""} ${i ?? ""}`), set_text(v, ` · #${get(n).seq ?? ""}`);
			}, [
				() => get(n).name || id(get(n).id),
				() => t("trust"),
				() => get(n).trust_micro >= 0 ? percent(get(n).trust_micro / 1e6) : t("notReported")
			]), append(e, r);
		}), reset(o), reset(n), template_effect((e) => set_text(a, e), [() => t("contacts")]), append(e, n);
	};
	if_block(g, (e) => {
		get(r).contacts.length && e(_);
	});
	var v = sibling(g, 2), y = (e) => {
		var n = root_13(), i = child(n), a = only_child(i, !0), o = sibling(i);
		each(o, 21, () => get(r).channels, index, (e, n) => {
			var r = root_12(), i = only_child(r, !0);
			template_effect((e) => {
				set_attribute(r, "title", `#${get(n).seq ?? ""}`), set_text(i, e);
			}, [() => get(n).name.startsWith("#") ? get(n).name : `#${get(n).name || get(n).id}`]), delegated("click", r, () => s(get(n).seq)), append(e, r);
		}), reset(o), reset(n), template_effect((e) => set_text(a, e), [() => t("channels")]), append(e, n);
	};
	if_block(v, (e) => {
		get(r).channels.length && e(y);
	});
	var b = sibling(v, 2), x = (e) => {
		var n = root_17(), i = child(n), a = only_child(i, !0), o = sibling(i, 2);
		each(o, 21, () => get(r).talk.slice(-30).toReversed(), index, (e, n) => {
			var r = root_16();
			let i;
			var a = child(r), o = child(a), c = sibling(o), l = only_child(c);
			reset(a);
			var u = sibling(a, 2), d = (e) => {
				var r = root_14(), i = only_child(r, !0);
				template_effect(() => set_text(i, get(n).text)), append(e, r);
			}, f = (e) => {
				var r = root_15(), i = only_child(r, !0);
				template_effect(() => set_text(i, get(n).text)), append(e, r);
			};
			if_block(u, (e) => {
				get(n).mine ? e(d) : e(f, -1);
			}), reset(r), template_effect((e, a, s) => {
				i = set_class(r, 1, "", null, i, { mine: get(n).mine }), set_text(o, `${e ?? ""} · ${a ?? ""}${get(n).place ? ` · ${get(n).place}` : ""}${s ?? ""} `), set_text(l, `#${get(n).seq ?? ""}`);
			}, [
				() => get(n).mine ? t("agentSaid") : get(n).who,
				() => term("said_", get(n).kind),
				() => get(n).at_us ? ` · ${moment(get(n).at_us / 1e3)}` : ""
			]), delegated("click", c, () => s(get(n).seq)), append(e, r);
		}), reset(o), reset(n), template_effect((e) => set_text(a, e), [() => t("lastMessages")]), append(e, n);
	};
	if_block(b, (e) => {
		get(r).talk.length && e(x);
	}), reset(l);
	var S = sibling(l, 2);
	Source(S, {
		get view() {
			return n.view;
		},
		events: "spaces.*, arcan.subagent_*"
	}), template_effect((e) => set_attribute(l, "aria-label", e), [() => t("spaces")]), append(e, c), pop();
}
delegate(["click"]);
// src/panels/SpanRow.svelte
var root$3 = from_html("<button><span class=\"span-name\"> </span> <span class=\"span-track\"><span class=\"span-bar\"></span></span> <span class=\"num soft\"> </span></button>");
function SpanRow(e, n) {
	push(n, !0);
	let r = user_derived(() => n.span.kind === "run" ? t("runN") : n.span.kind === "step" ? t("stepN", { n: Number(n.span.name) + 1 }) : n.span.kind === "model" ? t("model") : n.span.name), i = user_derived(() => n.axis.at(n.span.started)), a = user_derived(() => n.axis.at(n.span.ended || n.now)), o = user_derived(() => [
		"error",
		"timeout",
		"failed",
		"refused",
		"expired",
		"in_doubt"
	].includes(n.span.status));
	var s = root$3();
	let c;
	var l = child(s);
	let u;
	var d = only_child(l), f = sibling(l, 2), p = child(f);
	let m;
	reset(f);
	var h = sibling(f, 2), g = only_child(h, !0);
	reset(s), template_effect((e, a) => {
		c = set_class(s, 1, `span kind-${n.span.kind ?? ""}`, null, c, {
			bad: get(o),
			openspan: !n.span.ended
		}), set_attribute(s, "aria-current", n.chosen ? "true" : void 0), u = set_style(l, "", u, { "padding-left": `${n.depth * 12}px` }), set_text(d, `${get(o) ? "✕ " : ""}${get(r) ?? ""}`), m = set_style(p, "", m, {
			left: `${get(i) * 100}%`,
			width: e
		}), set_text(g, a);
	}, [() => `${Math.max(.6, (get(a) - get(i)) * 100)}%`, () => n.span.ended ? duration(between(n.span.started, n.span.ended)) : t("open")]), delegated("click", s, function(...e) {
		n.onchoose?.apply(this, e);
	}), append(e, s), pop();
}
delegate(["click"]);
// src/panels/bars.ts
var LONGEST_MS = 2e3;
function axis(e, n) {
	let r = [...new Set(e.flatMap((e) => [e.started, e.ended || n]).map((e) => Date.parse(e)))].filter(Number.isFinite).sort((e, n) => e - n), i = new Map(), a = 0, o = !1;
	r.forEach((e, n) => {
		let s = n ? e - r[n - 1] : 0;
		s > LONGEST_MS && (o = !0), a += Math.min(s, LONGEST_MS), i.set(e, a);
	});
	let s = Math.max(1, a);
	return {
		at: (e) => (i.get(Date.parse(e)) ?? 0) / s,
		total: s,
		shortened: o
	};
}
function tree(e) {
	let n = new Map(), r = new Set(e.map((e) => e.id));
	for (let i of e) {
		let e = r.has(i.parent) ? i.parent : "";
		n.set(e, [...n.get(e) ?? [], i]);
	}
	let i = [], a = (e, r) => {
		for (let o of n.get(e) ?? []) i.push({
			span: o,
			depth: r
		}), o.id && a(o.id, r + 1);
	};
	return a("", 0), i;
}
// src/panels/Timeline.svelte
var root$2 = from_html("<p class=\"blank\"> </p>"), root_1$2 = from_html("<p class=\"soft small-text pad\"> </p>"), root_2$2 = from_html("<!> <!>", 1);
function Timeline(e, n) {
	push(n, !0);
	let r = user_derived(() => tree(n.view.state.spans)), i = user_derived(() => axis(n.view.state.spans, n.view.state.time)), a = user_derived(() => route.get("span"));
	var o = root_2$2(), s = first_child(o), c = (e) => {
		var n = root$2(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("noSpans")]), append(e, n);
	}, l = (e) => {
		var o = root_2$2(), s = first_child(o);
		{
			let e = (e, o = noop) => {
				let s = user_derived(() => get(r)[o()]);
				var c = comment(), l = first_child(c), u = (e) => {
					{
						let r = user_derived(() => get(s).span.id === get(a));
						SpanRow(e, {
							get span() {
								return get(s).span;
							},
							get depth() {
								return get(s).depth;
							},
							get axis() {
								return get(i);
							},
							get now() {
								return n.view.state.time;
							},
							get chosen() {
								return get(r);
							},
							onchoose: () => {
								route.set({
									span: get(s).span.id,
									right: "trace"
								}), n.view.stop(), n.view.seek(get(s).span.end || get(s).span.seq);
							}
						});
					}
				};
				if_block(l, (e) => {
					get(s) && e(u);
				}), append(e, c);
			}, o = user_derived(() => t("timeline")), c = user_derived(() => n.view.position === null), l = user_derived(() => get(r).findIndex((e) => e.span.id === get(a)));
			VirtualList(s, {
				get count() {
					return get(r).length;
				},
				height: 28,
				get label() {
					return get(o);
				},
				get follow() {
					return get(c);
				},
				get focus() {
					return get(l);
				},
				row: e,
				$$slots: { row: !0 }
			});
		}
		var c = sibling(s, 2), l = (e) => {
			var n = root_1$2(), r = only_child(n, !0);
			template_effect((e) => set_text(r, e), [() => t("gaps")]), append(e, n);
		};
		if_block(c, (e) => {
			get(i).shortened && e(l);
		}), append(e, o);
	};
	if_block(s, (e) => {
		get(r).length ? e(l, -1) : e(c);
	});
	var u = sibling(s, 2);
	Source(u, {
		get view() {
			return n.view;
		},
		events: "RunStarted, Step*, Message, ToolCall*, RunFinished"
	}), append(e, o), pop();
}
// src/panels/ToolBody.svelte
var root$1 = from_html("<p class=\"soft\"> <!></p>"), root_1$1 = from_html("<pre class=\"shell\"><span class=\"soft\">$ </span> </pre> <!>", 1), root_2$1 = from_html("<p class=\"error-text\"> </p>"), root_3$1 = from_html("<p class=\"soft\"> </p>"), root_4$1 = from_html("<button class=\"quiet small\"> </button>"), root_5$1 = from_html("<div class=\"tool-body\"><!> <!> <!> <details><summary> </summary><!><!></details> <div class=\"row\"><button class=\"quiet small\"> </button> <button class=\"quiet small\"> </button> <!></div></div>");
function ToolBody(e, n) {
	push(n, !0);
	let r = user_derived(() => n.entry.end ? n.view.record(n.entry.end, n.entry.branch) : void 0), i = user_derived(() => get(r)?.kind.result ?? get(r)?.kind.error), a = user_derived(() => typeof get(i) == "object" && get(i) !== null && !Array.isArray(get(i)) ? get(i) : {}), o = (e) => typeof e == "string" ? e : "";
	var s = root_5$1(), c = child(s), l = (e) => {
		var r = root_1$1(), i = first_child(r), s = sibling(child(i));
		reset(i);
		var c = sibling(i, 2), l = (e) => {
			var n = root$1(), r = child(n), i = sibling(r), o = (e) => {
				var n = text();
				template_effect((e) => set_text(n, `· ${e ?? ""}`), [() => String(get(a).sandbox)]), append(e, n);
			};
			if_block(i, (e) => {
				get(a).sandbox && e(o);
			}), reset(n), template_effect((e) => set_text(r, `exit ${e ?? ""}`), [() => String(get(a).exit_code)]), append(e, n);
		};
		if_block(c, (e) => {
			get(a).exit_code !== void 0 && e(l);
		}), template_effect((e, n, r) => set_text(s, `${e ?? ""}
${n ?? ""}${r ?? ""}`), [
			() => o(n.given.command),
			() => o(get(a).stdout),
			() => o(get(a).stderr)
		]), append(e, r);
	}, u = (e) => {
		{
			let r = user_derived(() => o(n.given.old_text)), i = user_derived(() => o(n.given.new_text)), a = user_derived(() => t("difference"));
			Diff(e, {
				get before() {
					return get(r);
				},
				get after() {
					return get(i);
				},
				get label() {
					return get(a);
				}
			});
		}
	}, d = user_derived(() => o(n.given.old_text)), f = (e) => {
		{
			let r = user_derived(() => o(n.given.content)), i = user_derived(() => t("difference"));
			Diff(e, {
				before: "",
				get after() {
					return get(r);
				},
				get label() {
					return get(i);
				}
			});
		}
	}, p = user_derived(() => /^write/.test(n.entry.label) && o(n.given.content)), m = (e) => {
		{
			let r = user_derived(() => o(get(a).content));
			Json(e, {
				get label() {
					return n.entry.detail;
				},
				get value() {
					return get(r);
				}
			});
		}
	}, h = user_derived(() => o(get(a).content));
	if_block(c, (e) => {
		n.entry.label === "bash" ? e(l) : get(d) ? e(u, 1) : get(p) ? e(f, 2) : get(h) && e(m, 3);
	});
	var g = sibling(c, 2), _ = (e) => {
		var n = root_2$1(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => o(get(a).error) || o(get(r)?.kind.error)]), append(e, n);
	}, v = user_derived(() => o(get(a).error) || get(r)?.kind.type === "ToolCallFailed");
	if_block(g, (e) => {
		get(v) && e(_);
	});
	var y = sibling(g, 2), b = (e) => {
		var r = root_3$1(), i = only_child(r, !0);
		template_effect((e) => set_text(i, e), [() => t("whyAsked", { rule: n.entry.why })]), append(e, r);
	};
	if_block(y, (e) => {
		n.entry.why && n.entry.state !== "waiting" && e(b);
	});
	var x = sibling(y, 2), S = child(x), C = only_child(S, !0), w = sibling(S);
	{
		let e = user_derived(() => t("arguments")), r = user_derived(() => n.asked?.kind.arguments);
		Json(w, {
			get label() {
				return get(e);
			},
			get value() {
				return get(r);
			}
		});
	}
	var T = sibling(w), E = (e) => {
		{
			let n = user_derived(() => t("result"));
			Json(e, {
				get label() {
					return get(n);
				},
				get value() {
					return get(i);
				}
			});
		}
	};
	if_block(T, (e) => {
		get(r) && e(E);
	}), reset(x);
	var D = sibling(x, 2), O = child(D), k = only_child(O), A = sibling(O, 2), j = only_child(A, !0), M = sibling(A, 2), N = (e) => {
		var r = root_4$1(), i = only_child(r, !0);
		template_effect((e) => set_text(i, e), [() => t("wholeFile")]), delegated("click", r, () => route.set({
			mid: "files",
			right: "preview",
			file: n.entry.detail
		})), append(e, r);
	}, P = user_derived(() => n.view.state.files.some((e) => e.path === n.entry.detail));
	if_block(M, (e) => {
		get(P) && e(N);
	}), reset(D), reset(s), template_effect((e, r, i) => {
		set_text(C, e), set_text(k, `${r ?? ""} #${n.entry.seq ?? ""}`), set_text(j, i);
	}, [
		() => t("raw"),
		() => t("inJournal"),
		() => t("inTrace")
	]), delegated("click", O, () => toJournal(n.view, n.entry)), delegated("click", A, () => route.set({
		right: "trace",
		span: n.entry.ref,
		pane: "right"
	})), append(e, s), pop();
}
delegate(["click"]);
// src/panels/Trace.svelte
var root = from_html("<p class=\"blank\"> </p>"), root_1 = from_html("<dl class=\"tiles\"><div><dt> </dt><dd> <span class=\"soft\"> </span></dd></div> <div><dt> </dt><dd> <span class=\"minus\"> </span></dd></div> <div><dt> </dt><dd> </dd></div> <div><dt> </dt><dd> </dd></div></dl>"), root_2 = from_html("<div role=\"listitem\"><!></div>"), root_3 = from_html("<dt> </dt><dd> </dd>", 1), root_4 = from_html("<dt> </dt><dd> </dd> <dt> </dt><dd> </dd> <dt> </dt><dd> </dd> <!>", 1), root_5 = from_html("… <button class=\"quiet small\"> </button>", 1), root_6 = from_html("<dl class=\"facts\"><dt> </dt><dd> </dd> <dt> </dt><dd> </dd> <dt> </dt><dd> </dd> <!> <dt> </dt><dd><button class=\"quiet small\"> </button><!></dd></dl>"), root_7 = from_html("<!> <div class=\"spans\" role=\"list\"></div> <!>", 1), root_8 = from_html("<div class=\"scrolls\" role=\"group\" tabindex=\"0\"><!></div> <!>", 1);
function Trace(e, n) {
	push(n, !0);
	let r = user_derived(() => n.view.state), i = user_derived(() => {
		let e = route.get("span"), n = get(r).spans.find((n) => n.id === e);
		if (n || !e) return n;
		let i = get(r).entries.find((n) => n.kind === "tool" && n.ref === e);
		return i ? get(r).spans.find((e) => e.kind === "tool" && e.seq > i.seq && (!i.end || e.seq < i.end) && e.name === i.label) : void 0;
	}), a = user_derived(() => {
		let e = get(i);
		for (; e && e.kind !== "run";) e = get(r).spans.find((n) => n.id === e?.parent);
		return e ?? get(r).spans.findLast((e) => e.kind === "run");
	}), o = user_derived(() => {
		if (!get(a)) return [];
		let e = get(r).spans.indexOf(get(a)), n = get(r).spans.findIndex((n, r) => r > e && n.kind === "run");
		return get(r).spans.slice(e, n < 0 ? void 0 : n);
	}), s = user_derived(() => tree(get(o))), c = user_derived(() => axis(get(o), get(r).time)), l = user_derived(() => get(r).runs.find((e) => e.id === get(a)?.id)), u = user_derived(() => get(i) ?? get(a));
	var d = root_8(), f = first_child(d), p = child(f), m = (e) => {
		var n = root(), r = only_child(n, !0);
		template_effect((e) => set_text(r, e), [() => t("noSpans")]), append(e, n);
	}, h = (e) => {
		var n = root_7(), i = first_child(n), a = (e) => {
			var n = root_1(), r = child(n), i = child(r), a = only_child(i, !0), o = sibling(i), s = child(o, !0), c = sibling(s), u = only_child(c, !0);
			reset(o), reset(r);
			var d = sibling(r, 2), f = child(d), p = only_child(f, !0), m = sibling(f), h = child(m, !0), g = sibling(h), _ = only_child(g, !0);
			reset(m), reset(d);
			var v = sibling(d, 2), y = child(v), b = only_child(y, !0), x = sibling(y), S = only_child(x, !0);
			reset(v);
			var C = sibling(v, 2), w = child(C), T = only_child(w, !0), E = sibling(w), D = only_child(E, !0);
			reset(C), reset(n), template_effect((e, n, r, i, o, c, l, d, f, m) => {
				set_text(a, e), set_text(s, n), set_text(u, r), set_text(p, i), set_text(h, o), set_text(_, c), set_text(b, l), set_text(S, d), set_text(T, f), set_text(D, m);
			}, [
				() => t("steps"),
				() => whole(get(l).steps),
				() => get(l).max_steps ? ` / ${whole(get(l).max_steps)}` : "",
				() => t("tools"),
				() => whole(get(l).calls),
				() => get(l).failed ? ` · ${whole(get(l).failed)} ✕` : "",
				() => t("tokens"),
				() => get(l).steps ? `${whole(get(l).prompt)} → ${whole(get(l).completion)}` : "—",
				() => t("modelCost"),
				() => get(l).steps > get(l).uncosted ? usd(get(l).cost_micro) : t("notReported")
			]), append(e, n);
		};
		if_block(i, (e) => {
			get(l) && e(a);
		});
		var o = sibling(i, 2);
		each(o, 21, () => get(s), index, (e, n) => {
			var i = root_2(), a = child(i);
			{
				let e = user_derived(() => get(n).span.id === get(u)?.id);
				SpanRow(a, {
					get span() {
						return get(n).span;
					},
					get depth() {
						return get(n).depth;
					},
					get axis() {
						return get(c);
					},
					get now() {
						return get(r).time;
					},
					get chosen() {
						return get(e);
					},
					onchoose: () => route.set({ span: get(n).span.id })
				});
			}
			reset(i), append(e, i);
		}), reset(o);
		var d = sibling(o, 2), f = (e) => {
			var n = root_6(), r = child(n), i = only_child(r, !0), a = sibling(r), o = only_child(a, !0), s = sibling(a, 2), c = only_child(s, !0), l = sibling(s), d = only_child(l, !0), f = sibling(l, 2), p = only_child(f, !0), m = sibling(f), h = only_child(m, !0), g = sibling(m, 2), _ = (e) => {
				var n = root_4(), r = first_child(n), i = only_child(r, !0), a = sibling(r), o = only_child(a, !0), s = sibling(a, 2), c = only_child(s, !0), l = sibling(s), d = only_child(l, !0), f = sibling(l, 2), p = only_child(f, !0), m = sibling(f), h = only_child(m, !0), g = sibling(m, 2), _ = (e) => {
					var n = root_3(), r = first_child(n), i = only_child(r, !0), a = sibling(r), o = only_child(a, !0);
					template_effect((e, n) => {
						set_text(i, e), set_text(o, n);
					}, [() => t("firstPiece"), () => duration(get(u).first_ms)]), append(e, n);
				};
				if_block(g, (e) => {
					get(u).first_ms && e(_);
				}), template_effect((e, n, r, a, s, l) => {
					set_text(i, e), set_text(o, n), set_text(c, r), set_text(d, a), set_text(p, s), set_text(h, l);
				}, [
					() => t("model"),
					() => get(u).name || t("notReported"),
					() => t("promptTokens"),
					() => get(u).prompt ? whole(get(u).prompt) : t("notReported"),
					() => t("completionTokens"),
					() => get(u).completion ? whole(get(u).completion) : t("notReported")
				]), append(e, n);
			};
			if_block(g, (e) => {
				get(u).kind === "model" && e(_);
			});
			var v = sibling(g, 2), y = only_child(v, !0), b = sibling(v), x = child(b), S = only_child(x), C = sibling(x), w = (e) => {
				var n = root_5(), r = sibling(first_child(n)), i = only_child(r);
				template_effect(() => set_text(i, `#${get(u).end ?? ""}`)), delegated("click", r, () => route.set({
					mid: "journal",
					event: get(u).end,
					pane: "mid"
				})), append(e, n);
			};
			if_block(C, (e) => {
				get(u).end && e(w);
			}), reset(b), reset(n), template_effect((e, n, r, a, s, l, f) => {
				set_text(i, e), set_text(o, n), set_text(c, r), set_text(d, a), set_text(p, s), set_text(h, l), set_text(y, f), set_text(S, `#${get(u).seq ?? ""}`);
			}, [
				() => t("spanStart"),
				() => time(get(u).started),
				() => t("spanTook"),
				() => get(u).ended ? duration(between(get(u).started, get(u).ended)) : t("open"),
				() => t("spanStatus"),
				() => get(u).status || t("open"),
				() => t("journal")
			]), delegated("click", x, () => route.set({
				mid: "journal",
				event: get(u).seq,
				pane: "mid"
			})), append(e, n);
		};
		if_block(d, (e) => {
			get(u) && e(f);
		}), append(e, n);
	};
	if_block(p, (e) => {
		get(a) ? e(h, -1) : e(m);
	}), reset(f);
	var g = sibling(f, 2);
	Source(g, {
		get view() {
			return n.view;
		},
		events: "Run*, Step*, Message, ToolCall*"
	}), template_effect((e) => set_attribute(f, "aria-label", e), [() => t("trace")]), append(e, d), pop();
}
// src/panes.ts
delegate(["click"]), learn(more);
export { Autonomic, Branches, Compare, Context, Doubt, Fork, Graph, Identity, Inbox, Journal, Judge, Ledger, Palette, Preferences, Shortcuts, Spaces, Timeline, ToolBody, Trace };
