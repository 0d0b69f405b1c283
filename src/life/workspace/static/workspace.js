// node_modules/svelte/src/internal/shared/utils.js
var is_array = Array.isArray, index_of = Array.prototype.indexOf, includes = Array.prototype.includes, array_from = Array.from, define_property = Object.defineProperty, get_descriptor = Object.getOwnPropertyDescriptor, get_descriptors = Object.getOwnPropertyDescriptors, object_prototype = Object.prototype, array_prototype = Array.prototype, get_prototype_of = Object.getPrototypeOf, is_extensible = Object.isExtensible, noop = () => {};
function run_all(e) {
	for (var n = 0; n < e.length; n++) e[n]();
}
function deferred() {
	var e, n;
	return {
		promise: new Promise((i, a) => {
			e = i, n = a;
		}),
		resolve: e,
		reject: n
	};
}
function to_array(e, n) {
	if (Array.isArray(e)) return e;
	if (n === void 0 || !(Symbol.iterator in e)) return Array.from(e);
	let i = [];
	for (let a of e) if (i.push(a), i.length === n) break;
	return i;
}
// node_modules/svelte/src/internal/client/constants.js
var MANAGED_EFFECT = 1 << 24, CLEAN = 1024, DIRTY = 2048, MAYBE_DIRTY = 4096, INERT = 8192, DESTROYED = 16384, REACTION_RAN = 32768, DESTROYING = 1 << 25, EFFECT_TRANSPARENT = 65536, EFFECT_PRESERVED = 1 << 19, USER_EFFECT = 1 << 20, EFFECT_OFFSCREEN = 1 << 25, REACTION_IS_UPDATING = 1 << 21, ASYNC = 1 << 22, ERROR_VALUE = 1 << 23, STATE_SYMBOL = Symbol("$state"), COMPONENT_SYMBOL = Symbol("component"), LEGACY_PROPS = Symbol("legacy props"), LOADING_ATTR_SYMBOL = Symbol(""), ATTRIBUTES_CACHE = Symbol("attributes"), CLASS_CACHE = Symbol("class"), STYLE_CACHE = Symbol("style"), TEXT_CACHE = Symbol("text"), FORM_RESET_HANDLER = Symbol("form reset"), STALE_REACTION = new class extends Error {
	name = "StaleReactionError";
	message = "The reaction that called `getAbortSignal()` was re-run or destroyed";
}(), IS_XHTML = !!globalThis.document?.contentType && globalThis.document.contentType.includes("xml"), HYDRATION_ERROR = {}, UNINITIALIZED = Symbol("uninitialized"), NAMESPACE_HTML = "http://www.w3.org/1999/xhtml", NAMESPACE_SVG = "http://www.w3.org/2000/svg";
function derived_inert() {
	console.warn("https://svelte.dev/e/derived_inert");
}
function hydration_mismatch(e) {
	console.warn("https://svelte.dev/e/hydration_mismatch");
}
function select_multiple_invalid_value() {
	console.warn("https://svelte.dev/e/select_multiple_invalid_value");
}
function svelte_boundary_reset_noop() {
	console.warn("https://svelte.dev/e/svelte_boundary_reset_noop");
}
// node_modules/svelte/src/internal/client/dom/hydration.js
var hydrating = !1;
function set_hydrating(e) {
	hydrating = e;
}
var hydrate_node;
function set_hydrate_node(e) {
	if (e === null) throw hydration_mismatch(), HYDRATION_ERROR;
	return hydrate_node = e;
}
function hydrate_next() {
	return set_hydrate_node(get_next_sibling(hydrate_node));
}
function reset(e) {
	if (hydrating) {
		if (get_next_sibling(hydrate_node) !== null) throw hydration_mismatch(), HYDRATION_ERROR;
		hydrate_node = e;
	}
}
function next(e = 1) {
	if (hydrating) {
		for (var n = e, i = hydrate_node; n--;) i = get_next_sibling(i);
		hydrate_node = i;
	}
}
function skip_nodes(e = !0) {
	for (var n = 0, i = hydrate_node;;) {
		if (i.nodeType === 8) {
			var a = i.data;
			if (a === "]") {
				if (n === 0) return i;
				--n;
			} else (a === "[" || a === "[!" || a[0] === "[" && !isNaN(Number(a.slice(1)))) && (n += 1);
		}
		var o = get_next_sibling(i);
		e && i.remove(), i = o;
	}
}
function read_hydration_instruction(e) {
	if (!e || e.nodeType !== 8) throw hydration_mismatch(), HYDRATION_ERROR;
	return e.data;
}
// node_modules/svelte/src/internal/client/reactivity/equality.js
function equals(e) {
	return e === this.v;
}
function safe_not_equal(e, n) {
	return e == e ? e !== n || typeof e == "object" && !!e || typeof e == "function" : n == n;
}
function safe_equals(e) {
	return !safe_not_equal(e, this.v);
}
function lifecycle_outside_component(e) {
	throw Error("https://svelte.dev/e/lifecycle_outside_component");
}
// node_modules/svelte/src/internal/client/errors.js
function async_derived_orphan() {
	throw Error("https://svelte.dev/e/async_derived_orphan");
}
function each_key_duplicate(e, n, i) {
	throw Error("https://svelte.dev/e/each_key_duplicate");
}
function effect_in_teardown(e) {
	throw Error("https://svelte.dev/e/effect_in_teardown");
}
function effect_in_unowned_derived() {
	throw Error("https://svelte.dev/e/effect_in_unowned_derived");
}
function effect_orphan(e) {
	throw Error("https://svelte.dev/e/effect_orphan");
}
function effect_update_depth_exceeded() {
	throw Error("https://svelte.dev/e/effect_update_depth_exceeded");
}
function props_invalid_value(e) {
	throw Error("https://svelte.dev/e/props_invalid_value");
}
function state_descriptors_fixed() {
	throw Error("https://svelte.dev/e/state_descriptors_fixed");
}
function state_prototype_fixed() {
	throw Error("https://svelte.dev/e/state_prototype_fixed");
}
function state_unsafe_mutation() {
	throw Error("https://svelte.dev/e/state_unsafe_mutation");
}
function svelte_boundary_reset_onerror() {
	throw Error("https://svelte.dev/e/svelte_boundary_reset_onerror");
}
// node_modules/svelte/src/internal/client/context.js
var component_context = null;
function set_component_context(e) {
	component_context = e;
}
function push$1(e, n = !1, i) {
	component_context = {
		p: component_context,
		i: !1,
		c: null,
		e: null,
		s: e,
		x: null,
		r: active_effect,
		l: null
	};
}
function pop(e) {
	var n = component_context, i = n.e;
	if (i !== null) {
		n.e = null;
		for (var a of i) create_user_effect(a);
	}
	return e !== void 0 && (n.x = e), n.i = !0, component_context = n.p, mark_as_component(e);
}
function mark_as_component(e = {}) {
	return define_property(e, COMPONENT_SYMBOL, { value: !0 }), e;
}
function is_runes() {
	return !0;
}
// node_modules/svelte/src/internal/client/dom/task.js
var micro_tasks = [];
function run_micro_tasks() {
	var e = micro_tasks;
	micro_tasks = [], run_all(e);
}
function queue_micro_task(e) {
	if (micro_tasks.length === 0 && !is_flushing_sync) {
		var n = micro_tasks;
		queueMicrotask(() => {
			n === micro_tasks && run_micro_tasks();
		});
	}
	micro_tasks.push(e);
}
function flush_tasks() {
	for (; micro_tasks.length > 0;) run_micro_tasks();
}
// node_modules/svelte/src/internal/client/reactivity/status.js
var STATUS_MASK = ~(DIRTY | MAYBE_DIRTY | CLEAN);
function set_signal_status(e, n) {
	e.f = e.f & STATUS_MASK | n;
}
function update_derived_status(e) {
	e.f & 512 || e.deps === null ? set_signal_status(e, CLEAN) : set_signal_status(e, MAYBE_DIRTY);
}
// node_modules/svelte/src/internal/client/reactivity/utils.js
function defer_effect(e, n) {
	e.f & 2048 ? n.set(e, DIRTY) : e.f & 4096 && n.get(e) !== 2048 && n.set(e, MAYBE_DIRTY), set_signal_status(e, CLEAN);
}
// node_modules/svelte/src/internal/client/dom/elements/misc.js
function autofocus(e, n) {
	if (n) {
		let n = document.body;
		e.autofocus = !0, queue_micro_task(() => {
			document.activeElement === n && e.focus();
		});
	}
}
function remove_textarea_child(e) {
	hydrating && get_first_child(e) !== null && clear_text_content(e);
}
var listening_to_form_reset = !1;
function add_form_reset_listener() {
	listening_to_form_reset || (listening_to_form_reset = !0, document.addEventListener("reset", (e) => {
		Promise.resolve().then(() => {
			if (!e.defaultPrevented) for (let n of e.target.elements) n[FORM_RESET_HANDLER]?.();
		});
	}, { capture: !0 }));
}
// node_modules/svelte/src/internal/client/dom/elements/bindings/shared.js
function listen(e, n, i, a = !0) {
	a && i();
	for (var o of n) e.addEventListener(o, i);
	teardown(() => {
		for (var a of n) e.removeEventListener(a, i);
	});
}
function without_reactive_context(e) {
	var n = active_reaction, i = active_effect;
	set_active_reaction(null), set_active_effect(null);
	try {
		return e();
	} finally {
		set_active_reaction(n), set_active_effect(i);
	}
}
function listen_to_event_and_reset_event(e, n, i, a = i) {
	e.addEventListener(n, () => without_reactive_context(i));
	let o = e[FORM_RESET_HANDLER];
	e[FORM_RESET_HANDLER] = o ? () => {
		o(), a(!0);
	} : () => a(!0), add_form_reset_listener();
}
// node_modules/svelte/src/internal/client/reactivity/async.js
function flatten(e, n, i, a) {
	let o = is_runes() ? derived : derived_safe_equal;
	var s = e.filter((e) => !e.settled), c = n.map(o);
	if (i.length === 0 && s.length === 0) {
		a(c);
		return;
	}
	var l = active_effect, u = capture(), d = s.length === 1 ? s[0].promise : s.length > 1 ? Promise.all(s.map((e) => e.promise)) : null;
	function f(e) {
		if (!(l.f & 16384)) {
			u();
			try {
				a([...c, ...e]);
			} catch (e) {
				invoke_error_boundary(e, l);
			}
			unset_context();
		}
	}
	var p = increment_pending();
	if (i.length === 0) {
		d.then(() => f([])).finally(p);
		return;
	}
	function m() {
		Promise.all(i.map((e) => async_derived(e))).then(f).catch((e) => invoke_error_boundary(e, l)).finally(p);
	}
	d ? d.then(() => {
		l.f & 16384 ? p() : (u(), m(), unset_context());
	}) : m();
}
function capture() {
	var e = active_effect, n = active_reaction, i = component_context, a = current_batch;
	return function(o = !0) {
		set_active_effect(e), set_active_reaction(n), set_component_context(i), o && !(e.f & 16384) && (a?.activate(), a?.apply());
	};
}
function unset_context(e = !0) {
	set_active_effect(null), set_active_reaction(null), set_component_context(null), e && current_batch?.deactivate();
}
function increment_pending() {
	var e = active_effect, n = e.b, i = current_batch, a = !!n?.is_rendered();
	return n?.update_pending_count(1, i), i.increment(a, e), () => {
		n?.update_pending_count(-1, i), i.decrement(a, e);
	};
}
function derived(e) {
	var n = 2 | DIRTY;
	return active_effect !== null && (active_effect.f |= EFFECT_PRESERVED), {
		ctx: component_context,
		deps: null,
		effects: null,
		equals,
		f: n,
		fn: e,
		reactions: null,
		rv: 0,
		v: UNINITIALIZED,
		wv: 0,
		parent: active_effect,
		ac: null
	};
}
var OBSOLETE = Symbol("obsolete");
function async_derived(e, n, i) {
	let a = active_effect;
	a === null && async_derived_orphan();
	var o = void 0, s = source(UNINITIALIZED), c = !active_reaction, l = new Set();
	return async_effect(() => {
		var n = active_effect, i = deferred();
		o = i.promise;
		try {
			Promise.resolve(e()).then(i.resolve, (e) => {
				e !== STALE_REACTION && i.reject(e);
			}).finally(unset_context);
		} catch (e) {
			i.reject(e), unset_context();
		}
		var u = current_batch;
		if (c) {
			if (n.f & 32768) var d = increment_pending();
			if (a.b?.is_rendered()) u.async_deriveds.get(n)?.reject(OBSOLETE);
			else for (let e of l.values()) e.reject(OBSOLETE);
			l.add(i), u.async_deriveds.set(n, i);
		}
		let f = (e, n = void 0) => {
			d?.(), l.delete(i), n !== OBSOLETE && (u.activate(), n ? (s.f |= ERROR_VALUE, internal_set(s, n)) : (s.f & 8388608 && (s.f ^= ERROR_VALUE), internal_set(s, e)), u.deactivate());
		};
		i.promise.then(f, (e) => f(null, e || "unknown"));
	}), teardown(() => {
		for (let e of l) e.reject(OBSOLETE);
	}), new Promise((e) => {
		function n(i) {
			function a() {
				i === o ? e(s) : n(o);
			}
			i.then(a, a);
		}
		n(o);
	});
}
function user_derived(e) {
	let n = derived(e);
	return push_reaction_value(n), n;
}
function derived_safe_equal(e) {
	let n = derived(e);
	return n.equals = safe_equals, n;
}
function destroy_derived_effects(e) {
	var n = e.effects;
	if (n !== null) {
		e.effects = null;
		for (var i = 0; i < n.length; i += 1) destroy_effect(n[i]);
	}
}
function execute_derived(e) {
	var n, i = active_effect, a = e.parent;
	if (!is_destroying_effect && a !== null && e.v !== UNINITIALIZED && a.f & 24576) return derived_inert(), e.v;
	set_active_effect(a);
	try {
		destroy_derived_effects(e), n = update_reaction(e);
	} finally {
		set_active_effect(i);
	}
	return n;
}
function update_derived(e) {
	var n = execute_derived(e);
	!e.equals(n) && (e.wv = increment_write_version(), (!current_batch?.is_fork || e.deps === null) && (current_batch === null ? e.v = n : (current_batch.capture(e, n, !0), previous_batch?.capture(e, n, !0)), e.deps === null)) ? set_signal_status(e, CLEAN) : is_destroying_effect || (batch_values === null ? update_derived_status(e) : (effect_tracking() || current_batch?.is_fork) && batch_values.set(e, n));
}
function freeze_derived_effects(e) {
	if (e.effects !== null) for (let n of e.effects) (n.teardown || n.ac) && (n.teardown?.(), n.ac !== null && without_reactive_context(() => {
		n.ac.abort(STALE_REACTION), n.ac = null;
	}), n.fn !== null && (n.teardown = noop), remove_reactions(n, 0), destroy_effect_children(n));
}
function unfreeze_derived_effects(e) {
	if (e.effects !== null) for (let n of e.effects) n.teardown && n.fn !== null && update_effect(n);
}
// node_modules/svelte/src/internal/client/reactivity/batch.js
var last_batch = null, current_batch = null, previous_batch = null, batch_values = null, last_scheduled_effect = null, is_flushing_sync = !1, is_processing = !1, collected_effects = null, legacy_updates = null, flush_count = 0, uid = 1, Batch = class e {
	id = uid++;
	started = !1;
	linked = !0;
	prev = null;
	next = null;
	async_deriveds = new Map();
	current = new Map();
	previous = new Map();
	#e = new Set();
	#t = new Set();
	#n = 0;
	#r = new Map();
	#i = null;
	#a = [];
	#o = [];
	#s = new Map();
	#c = new Map();
	#l = new Set();
	is_fork = !1;
	#u = !1;
	constructor() {
		last_batch === null ? last_batch = this : (last_batch.next = this, this.prev = last_batch), last_batch = this;
	}
	#d() {
		if (this.is_fork) return !0;
		for (let e of this.#r.keys()) if (!this.#f(e)) return !0;
		return !1;
	}
	#f(e) {
		for (var n = e; n !== null; n = n.parent) if (this.#c.has(n)) return !0;
		return !1;
	}
	skip_effect(e) {
		this.#c.has(e) || this.#c.set(e, {
			d: [],
			m: []
		}), this.#l.delete(e);
	}
	unskip_effect(e, n = (e) => this.schedule(e)) {
		var i = this.#c.get(e);
		if (i) {
			this.#c.delete(e);
			for (var a of i.d) set_signal_status(a, DIRTY), n(a);
			for (a of i.m) set_signal_status(a, MAYBE_DIRTY), n(a);
		}
		this.#l.add(e);
	}
	#p() {
		var e = [];
		for (let o of this.#a) if (!(o.f & 16384 || !(o.f & 6144))) {
			for (var n = o, i = !1; n.parent !== null;) {
				n = n.parent;
				var a = n.f;
				if (a & 96) {
					if (!(a & 1024)) {
						i = !0;
						break;
					}
					n.f ^= CLEAN;
				}
			}
			i || e.push(n);
		}
		return this.#a = [], e;
	}
	#m() {
		this.started = !0;
		for (let [e, n] of this.#s) set_signal_status(e, n), this.schedule(e);
		this.apply();
		for (var n = collected_effects = [], i = [], a = legacy_updates = []; this.#a.length > 0;) {
			flush_count++ > 1e3 && (this.#b(), infinite_loop_guard());
			for (let e of this.#p()) try {
				this.#h(e, n, i);
			} catch (n) {
				throw reset_all(e), this.#d() || this.discard(), n;
			}
		}
		if (current_batch = null, a.length > 0) {
			var o = e.ensure();
			for (let e of a) o.schedule(e);
		}
		if (collected_effects = null, legacy_updates = null, this.#d()) {
			this.#y(i), this.#y(n);
			for (let [e, n] of this.#c) reset_branch(e, n);
			a.length > 0 && current_batch.#m();
			return;
		}
		let s = this.#g();
		if (s) this.#y(i), this.#y(n), s.#v(this);
		else {
			this.#s.clear();
			for (let e of this.#e) e(this);
			this.#e.clear(), previous_batch = this, flush_queued_effects(i), flush_queued_effects(n), previous_batch = null, this.#i?.resolve();
			var c = current_batch;
			this.#n === 0 && (this.#a.length === 0 || c !== null) && this.#b(), c !== null && (old_values.clear(), c.#m());
		}
	}
	#h(e, n, i) {
		e.f ^= CLEAN;
		for (var a = e.first; a !== null;) {
			var o = a.f, s = !!(o & 96);
			if (!(s && o & 1024 || o & 8192 || this.#c.has(a)) && a.fn !== null) {
				s ? a.f ^= CLEAN : o & 4 ? n.push(a) : is_dirty(a) && (o & 16 && this.add_dirty_reaction(a, MAYBE_DIRTY), update_effect(a));
				var c = a.first;
				if (c !== null) {
					a = c;
					continue;
				}
			}
			for (; a !== null;) {
				var l = a.next;
				if (l !== null) {
					a = l;
					break;
				}
				a = a.parent;
			}
		}
	}
	#g() {
		for (var e = this.prev; e !== null; e = e.prev) if (!e.is_fork && this.#_(e)) return e;
		return null;
	}
	#_(e) {
		for (let [n, [, i]] of this.current) if (!i && e.current.has(n)) return !0;
		return !1;
	}
	#v(e) {
		for (let [n, i] of e.current) !this.previous.has(n) && e.previous.has(n) && this.previous.set(n, e.previous.get(n)), this.current.set(n, i);
		for (let [n, i] of e.async_deriveds) {
			let e = this.async_deriveds.get(n);
			e && i.promise.then(e.resolve).catch(e.reject);
		}
		e.async_deriveds.clear(), this.transfer_reactions(e.#s);
		let n = (e) => {
			var i = e.reactions;
			if (i !== null && !(e.f & 2 && !(e.f & 6144))) for (let e of i) {
				var a = e.f;
				if (a & 2) n(e);
				else {
					var o = e;
					a & 4194320 && !this.async_deriveds.has(o) && (this.#s.delete(o), set_signal_status(o, DIRTY), this.schedule(o));
				}
			}
		};
		for (let e of this.current.keys()) n(e);
		this.oncommit(() => e.discard()), e.#b(), current_batch = this, this.#m();
	}
	#y(e) {
		for (var n = 0; n < e.length; n += 1) defer_effect(e[n], this.#s);
	}
	capture(e, n, i = !1) {
		e.v !== UNINITIALIZED && !this.previous.has(e) && this.previous.set(e, e.v), e.f & 8388608 || (this.current.set(e, [n, i]), batch_values?.set(e, n)), this.is_fork || (e.v = n);
	}
	activate() {
		current_batch = this;
	}
	deactivate() {
		current_batch = null, batch_values = null;
	}
	flush() {
		try {
			is_processing = !0, current_batch = this, this.#m();
		} finally {
			flush_count = 0, last_scheduled_effect = null, collected_effects = null, legacy_updates = null, is_processing = !1, current_batch = null, batch_values = null, old_values.clear();
		}
	}
	discard() {
		for (let e of this.#t) e(this);
		this.#t.clear();
		for (let e of this.async_deriveds.values()) e.reject(OBSOLETE);
		this.#b(), this.#i?.resolve();
	}
	register_created_effect(e) {
		this.#o.push(e);
	}
	increment(e, n) {
		if (this.#n += 1, e) {
			let e = this.#r.get(n) ?? 0;
			this.#r.set(n, e + 1);
		}
	}
	decrement(e, n) {
		if (--this.#n, e) {
			let e = this.#r.get(n) ?? 0;
			e === 1 ? this.#r.delete(n) : this.#r.set(n, e - 1);
		}
		this.#u || (this.#u = !0, queue_micro_task(() => {
			this.#u = !1, this.linked && this.flush();
		}));
	}
	transfer_reactions(e) {
		for (let [n, i] of e) this.add_dirty_reaction(n, i);
		e.clear();
	}
	add_dirty_reaction(e, n) {
		(n === 2048 || this.#s.get(e) !== 2048) && this.#s.set(e, n);
	}
	oncommit(e) {
		this.#e.add(e);
	}
	ondiscard(e) {
		this.#t.add(e);
	}
	settled() {
		return (this.#i ??= deferred()).promise;
	}
	static ensure() {
		if (current_batch === null) {
			let n = current_batch = new e();
			!is_processing && !is_flushing_sync && queue_micro_task(() => {
				n.started || n.flush();
			});
		}
		return current_batch;
	}
	apply() {
		batch_values = null;
	}
	schedule(e) {
		last_scheduled_effect = e, e.b?.is_pending && e.f & 16777228 && !(e.f & 32768) ? e.b.defer_effect(e) : this.#a.push(e);
	}
	#b() {
		if (this.linked) {
			var e = this.prev, n = this.next;
			e === null || (e.next = n), n === null ? last_batch = e : n.prev = e, this.linked = !1;
		}
	}
};
function flushSync(e) {
	var n = is_flushing_sync, i = previous_batch;
	previous_batch = null, is_flushing_sync = !0;
	try {
		var a;
		for (e && (flushSync(), a = e());;) {
			if (flush_tasks(), current_batch === null) return a;
			current_batch.flush();
		}
	} finally {
		is_flushing_sync = n, previous_batch = i;
	}
}
function infinite_loop_guard() {
	try {
		effect_update_depth_exceeded();
	} catch (e) {
		invoke_error_boundary(e, last_scheduled_effect);
	}
}
var eager_block_effects = null;
function flush_queued_effects(e) {
	var n = e.length;
	if (n !== 0) {
		for (var i = 0; i < n;) {
			var a = e[i++];
			if (!(a.f & 24576) && is_dirty(a) && (eager_block_effects = new Set(), update_effect(a), a.deps === null && a.first === null && a.nodes === null && a.teardown === null && a.ac === null && unlink_effect(a), eager_block_effects?.size > 0)) {
				old_values.clear();
				for (let e of eager_block_effects) {
					if (e.f & 24576) continue;
					let n = [e], i = e.parent;
					for (; i !== null;) eager_block_effects.has(i) && (eager_block_effects.delete(i), n.push(i)), i = i.parent;
					for (let e = n.length - 1; e >= 0; e--) {
						let i = n[e];
						i.f & 24576 || update_effect(i);
					}
				}
				eager_block_effects.clear();
			}
		}
		eager_block_effects = null;
	}
}
function schedule_effect(e) {
	current_batch.schedule(e);
}
function reset_branch(e, n) {
	if (!(e.f & 32 && e.f & 1024)) {
		e.f & 2048 ? n.d.push(e) : e.f & 4096 && n.m.push(e), set_signal_status(e, CLEAN);
		for (var i = e.first; i !== null;) reset_branch(i, n), i = i.next;
	}
}
function reset_all(e) {
	set_signal_status(e, CLEAN);
	for (var n = e.first; n !== null;) reset_all(n), n = n.next;
}
// node_modules/svelte/src/internal/client/reactivity/sources.js
var eager_effects = new Set(), old_values = new Map(), eager_effects_deferred = !1;
function source(e, n) {
	return {
		f: 0,
		v: e,
		reactions: null,
		equals,
		rv: 0,
		wv: 0
	};
}
function state(e, n) {
	let i = source(e, n);
	return push_reaction_value(i), i;
}
function mutable_source(e, n = !1, i = !0) {
	let a = source(e);
	return n || (a.equals = safe_equals), a;
}
function set(e, n, i = !1) {
	return active_reaction !== null && (!untracking || active_reaction.f & 131072) && is_runes() && active_reaction.f & 4325394 && (current_sources === null || !current_sources.has(e)) && state_unsafe_mutation(), internal_set(e, i ? proxy(n) : n, legacy_updates);
}
var seen = null, count_deps = 0;
function internal_set(e, n, i = null) {
	if (!e.equals(n)) {
		is_destroying_effect ? old_values.set(e, n) : old_values.has(e) || old_values.set(e, e.v);
		var a = Batch.ensure();
		if (a.capture(e, n), e.f & 2) {
			let n = e;
			e.f & 2048 && execute_derived(n), batch_values === null && update_derived_status(n);
		}
		e.wv = increment_write_version(), seen = null, count_deps = 0, mark_reactions(e, DIRTY, i), seen = null, is_runes() && active_effect !== null && active_effect.f & 1024 && !(active_effect.f & 96) && (untracked_writes === null ? set_untracked_writes([e]) : untracked_writes.push(e)), !a.is_fork && eager_effects.size > 0 && !eager_effects_deferred && flush_eager_effects();
	}
	return n;
}
function flush_eager_effects() {
	eager_effects_deferred = !1;
	for (let e of eager_effects) {
		e.f & 1024 && set_signal_status(e, MAYBE_DIRTY);
		let n;
		try {
			n = is_dirty(e);
		} catch {
			n = !0;
		}
		n && update_effect(e);
	}
	eager_effects.clear();
}
function increment(e) {
	set(e, e.v + 1);
}
function mark_reactions(e, n, i) {
	var a = e.reactions;
	if (a !== null) {
		var o = is_runes(), s = a.length;
		if (count_deps += s, count_deps > 1e5 && seen === null && (seen = new Set()), seen !== null) {
			if (seen.has(e)) return;
			seen.add(e);
		}
		for (var c = 0; c < s; c++) {
			var l = a[c], u = l.f;
			if (o || l !== active_effect) {
				var d = (u & DIRTY) === 0;
				if (d && set_signal_status(l, n), u & 131072) eager_effects.add(l);
				else if (u & 2) {
					var f = l;
					batch_values?.delete(f), mark_reactions(f, MAYBE_DIRTY, i);
				} else if (d) {
					var p = l;
					u & 16 && eager_block_effects !== null && eager_block_effects.add(p), i === null ? schedule_effect(p) : i.push(p);
				}
			}
		}
	}
}
function proxy(e) {
	if (typeof e != "object" || !e || STATE_SYMBOL in e || COMPONENT_SYMBOL in e) return e;
	let n = get_prototype_of(e);
	if (n !== object_prototype && n !== array_prototype) return e;
	var i = new Map(), a = is_array(e), o = state(0), s = null, c = update_version, l = (e) => {
		if (update_version === c) return e();
		var n = active_reaction, i = update_version;
		set_active_reaction(null), set_update_version(c);
		var a = e();
		return set_active_reaction(n), set_update_version(i), a;
	};
	return a && i.set("length", state(e.length, s)), new Proxy(e, {
		defineProperty(e, n, a) {
			"value" in a && a.configurable !== !1 && a.enumerable !== !1 && a.writable !== !1 || state_descriptors_fixed();
			var o = i.get(n);
			return o === void 0 ? l(() => {
				var e = state(a.value, s);
				return i.set(n, e), e;
			}) : set(o, a.value, !0), !0;
		},
		deleteProperty(e, n) {
			var a = i.get(n);
			if (a === void 0) {
				if (n in e) {
					let e = l(() => state(UNINITIALIZED, s));
					i.set(n, e), increment(o);
				}
			} else set(a, UNINITIALIZED), increment(o);
			return !0;
		},
		get(n, a, o) {
			if (a === STATE_SYMBOL) return e;
			var c = i.get(a), u = a in n;
			if (c === void 0 && (!u || get_descriptor(n, a)?.writable) && (c = l(() => state(proxy(u ? n[a] : UNINITIALIZED), s)), i.set(a, c)), c !== void 0) {
				var d = get$1(c);
				return d === UNINITIALIZED ? void 0 : d;
			}
			return Reflect.get(n, a, o);
		},
		getOwnPropertyDescriptor(e, n) {
			this.has?.(e, n);
			var a = Reflect.getOwnPropertyDescriptor(e, n), o = i.get(n);
			if (o !== void 0) {
				var s = get$1(o);
				if (s === UNINITIALIZED) return;
				if (a && "value" in a) a.value = s;
				else return {
					enumerable: !0,
					configurable: !0,
					value: s,
					writable: !0
				};
			}
			return a;
		},
		has(e, n) {
			if (n === STATE_SYMBOL) return !0;
			var a = i.get(n), o = a !== void 0 && a.v !== UNINITIALIZED || Reflect.has(e, n);
			return (a !== void 0 || (active_effect !== null || active_reaction !== null) && (!o || get_descriptor(e, n)?.writable)) && (a === void 0 && (a = l(() => state(o ? proxy(e[n]) : UNINITIALIZED, s)), i.set(n, a)), get$1(a) === UNINITIALIZED) ? !1 : o;
		},
		set(e, n, c, u) {
			var d = i.get(n), f = n in e;
			if (a && n === "length") for (var p = c; p < d.v; p += 1) {
				var m = i.get(p + "");
				m === void 0 ? p in e && (m = l(() => state(UNINITIALIZED, s)), i.set(p + "", m)) : set(m, UNINITIALIZED);
			}
			if (d === void 0) (!f || get_descriptor(e, n)?.writable) && (d = l(() => state(void 0, s)), set(d, proxy(c)), i.set(n, d));
			else {
				f = d.v !== UNINITIALIZED;
				var h = l(() => proxy(c));
				set(d, h);
			}
			var g = Reflect.getOwnPropertyDescriptor(e, n);
			if (g?.set && g.set.call(u, c), !f) {
				if (a && typeof n == "string") {
					var _ = i.get("length"), v = Number(n);
					Number.isInteger(v) && v >= _.v && set(_, v + 1);
				}
				increment(o);
			}
			return !0;
		},
		ownKeys(e) {
			get$1(o);
			var n = Reflect.ownKeys(e).filter((e) => {
				var n = i.get(e);
				return n === void 0 || n.v !== UNINITIALIZED;
			});
			for (var [a, s] of i) s.v !== UNINITIALIZED && !(a in e) && n.push(a);
			return n;
		},
		setPrototypeOf() {
			state_prototype_fixed();
		}
	});
}
function get_proxied_value(e) {
	try {
		if (typeof e == "object" && e && STATE_SYMBOL in e) return e[STATE_SYMBOL];
	} catch {}
	return e;
}
function is(e, n) {
	return Object.is(get_proxied_value(e), get_proxied_value(n));
}
var $window, is_firefox, first_child_getter, next_sibling_getter;
function init_operations() {
	if ($window === void 0) {
		$window = window, is_firefox = /Firefox/.test(navigator.userAgent);
		var e = Element.prototype, n = Node.prototype, i = Text.prototype;
		first_child_getter = get_descriptor(n, "firstChild").get, next_sibling_getter = get_descriptor(n, "nextSibling").get, is_extensible(e) && (e[CLASS_CACHE] = void 0, e[ATTRIBUTES_CACHE] = null, e[STYLE_CACHE] = void 0, e.__e = void 0), is_extensible(i) && (i[TEXT_CACHE] = void 0);
	}
}
function create_text(e = "") {
	return document.createTextNode(e);
}
function get_first_child(e) {
	return first_child_getter.call(e);
}
function get_next_sibling(e) {
	return next_sibling_getter.call(e);
}
function child(e, n) {
	if (!hydrating) return get_first_child(e);
	var i = get_first_child(hydrate_node);
	if (i === null) i = hydrate_node.appendChild(create_text());
	else if (n && i.nodeType !== 3) {
		var a = create_text();
		return i?.before(a), set_hydrate_node(a), a;
	}
	return n && merge_text_nodes(i), set_hydrate_node(i), i;
}
function first_child(e, n = !1) {
	if (!hydrating) {
		var i = get_first_child(e);
		return i instanceof Comment && i.data === "" ? get_next_sibling(i) : i;
	}
	if (n) {
		if (hydrate_node?.nodeType !== 3) {
			var a = create_text();
			return hydrate_node?.before(a), set_hydrate_node(a), a;
		}
		merge_text_nodes(hydrate_node);
	}
	return hydrate_node;
}
function only_child(e, n = !1) {
	if (!hydrating) return get_first_child(e);
	var i = child(e, n);
	return reset(e), i;
}
function sibling(e, n = 1, i = !1) {
	let a = hydrating ? hydrate_node : e;
	for (var o; n--;) o = a, a = get_next_sibling(a);
	if (!hydrating) return a;
	if (i) {
		if (a?.nodeType !== 3) {
			var s = create_text();
			return a === null ? o?.after(s) : a.before(s), set_hydrate_node(s), s;
		}
		merge_text_nodes(a);
	}
	return set_hydrate_node(a), a;
}
function clear_text_content(e) {
	e.textContent = "";
}
function should_defer_append() {
	return !1;
}
function create_element(e, n, i) {
	return n == null || n === "http://www.w3.org/1999/xhtml" ? i ? document.createElement(e, { is: i }) : document.createElement(e) : i ? document.createElementNS(n, e, { is: i }) : document.createElementNS(n, e);
}
function merge_text_nodes(e) {
	if (e.nodeValue.length < 65536) return;
	let n = e.nextSibling;
	for (; n !== null && n.nodeType === 3;) n.remove(), e.nodeValue += n.nodeValue, n = e.nextSibling;
}
function handle_error(e) {
	var n = active_effect;
	if (n === null) return active_reaction.f |= ERROR_VALUE, e;
	if (!(n.f & 32768) && !(n.f & 4)) throw e;
	invoke_error_boundary(e, n);
}
function invoke_error_boundary(e, n) {
	if (e === HYDRATION_ERROR) throw e;
	if (!(n !== null && n.f & 16384)) {
		for (; n !== null;) {
			if (n.f & 128 && !(n.f & 33570816)) {
				if (!(n.f & 32768)) throw e;
				try {
					n.b.error(e);
					return;
				} catch (n) {
					e = n;
				}
			}
			n = n.parent;
		}
		throw e;
	}
}
// node_modules/svelte/src/internal/client/reactivity/effects.js
function validate_effect(e) {
	active_effect === null && (active_reaction === null && effect_orphan(e), effect_in_unowned_derived()), is_destroying_effect && effect_in_teardown(e);
}
function push_effect(e, n) {
	var i = n.last;
	i === null ? n.last = n.first = e : (i.next = e, e.prev = i, n.last = e);
}
function create_effect(e, n) {
	var i = active_effect;
	i !== null && i.f & 8192 && (e |= INERT);
	var a = {
		ctx: component_context,
		deps: null,
		nodes: null,
		f: e | DIRTY | 512,
		first: null,
		fn: n,
		last: null,
		next: null,
		parent: i,
		b: i && i.b,
		prev: null,
		teardown: null,
		wv: 0,
		ac: null
	};
	current_batch?.register_created_effect(a);
	var o = a;
	if (e & 4) collected_effects === null ? Batch.ensure().schedule(a) : collected_effects.push(a);
	else if (n !== null) {
		try {
			update_effect(a);
		} catch (e) {
			throw destroy_effect(a), e;
		}
		o.deps === null && o.teardown === null && o.nodes === null && o.first === o.last && !(o.f & 524288) && (o = o.first, e & 16 && e & 65536 && o !== null && (o.f |= EFFECT_TRANSPARENT));
	}
	if (o !== null && (o.parent = i, i !== null && push_effect(o, i), active_reaction !== null && active_reaction.f & 2 && !(e & 64))) {
		var s = active_reaction;
		(s.effects ??= []).push(o);
	}
	return a;
}
function effect_tracking() {
	return active_reaction !== null && !untracking;
}
function teardown(e) {
	let n = create_effect(8, null);
	return set_signal_status(n, CLEAN), n.teardown = e, n;
}
function user_effect(e) {
	validate_effect("$effect");
	var n = active_effect.f;
	if (!active_reaction && n & 32 && component_context !== null && !component_context.i) {
		var i = component_context;
		(i.e ??= []).push(e);
	} else return create_user_effect(e);
}
function create_user_effect(e) {
	return create_effect(4 | USER_EFFECT, e);
}
function component_root(e) {
	Batch.ensure();
	let n = create_effect(64 | EFFECT_PRESERVED, e);
	return (e = {}) => new Promise((i) => {
		e.outro ? pause_effect(n, () => {
			destroy_effect(n), i(void 0);
		}) : (destroy_effect(n), i(void 0));
	});
}
function effect(e) {
	return create_effect(4, e);
}
function async_effect(e) {
	return create_effect(ASYNC | EFFECT_PRESERVED, e);
}
function render_effect(e, n = 0) {
	return create_effect(8 | n, e);
}
function template_effect(e, n = [], i = [], a = []) {
	flatten(a, n, i, (n) => {
		create_effect(8, () => {
			e(...n.map(get$1));
		});
	});
}
function block(e, n = 0) {
	return create_effect(16 | n, e);
}
function managed(e, n = 0) {
	return create_effect(MANAGED_EFFECT | n, e);
}
function branch(e) {
	return create_effect(32 | EFFECT_PRESERVED, e);
}
function execute_effect_teardown(e) {
	var n = e.teardown;
	if (n !== null) {
		let i = is_destroying_effect, a = active_reaction;
		set_is_destroying_effect(!0), set_active_reaction(null);
		try {
			n.call(null);
		} catch (n) {
			invoke_error_boundary(n, e.parent);
		} finally {
			set_is_destroying_effect(i), set_active_reaction(a);
		}
	}
}
function destroy_effect_children(e, n = !1) {
	var i = e.first;
	for (e.first = e.last = null; i !== null;) {
		let e = i.ac;
		e !== null && without_reactive_context(() => {
			e.abort(STALE_REACTION);
		});
		var a = i.next;
		i.f & 64 ? i.parent = null : destroy_effect(i, n), i = a;
	}
}
function destroy_block_effect_children(e) {
	for (var n = e.first; n !== null;) {
		var i = n.next;
		n.f & 32 || destroy_effect(n), n = i;
	}
}
function destroy_effect(e, n = !0) {
	var i = !1;
	(n || e.f & 262144) && e.nodes !== null && e.nodes.end !== null && (remove_effect_dom(e.nodes.start, e.nodes.end), i = !0), e.f |= DESTROYING, destroy_effect_children(e, n && !i), remove_reactions(e, 0);
	var a = e.nodes && e.nodes.t;
	if (a !== null) for (let e of a) e.stop();
	execute_effect_teardown(e), e.f ^= DESTROYING, e.f |= DESTROYED;
	var o = e.parent;
	o !== null && o.first !== null && unlink_effect(e), e.next = e.prev = e.teardown = e.ctx = e.deps = e.fn = e.nodes = e.ac = e.b = null;
}
function remove_effect_dom(e, n) {
	for (; e !== null;) {
		var i = e === n ? null : get_next_sibling(e);
		e.remove(), e = i;
	}
}
function unlink_effect(e) {
	var n = e.parent, i = e.prev, a = e.next;
	i !== null && (i.next = a), a !== null && (a.prev = i), n !== null && (n.first === e && (n.first = a), n.last === e && (n.last = i));
}
function pause_effect(e, n, i = !0) {
	var a = [];
	e.f |= 256, pause_children(e, a, !0);
	var o = () => {
		i && destroy_effect(e), n && n();
	}, s = a.length;
	if (s > 0) {
		var c = () => --s || o();
		for (var l of a) l.out(c);
	} else o();
}
function pause_children(e, n, i) {
	if (!(e.f & 8192)) {
		e.f ^= INERT;
		var a = e.nodes && e.nodes.t;
		if (a !== null) for (let e of a) (e.is_global || i) && n.push(e);
		for (var o = e.first; o !== null;) {
			var s = o.next;
			if (!(o.f & 64)) {
				var c = !!(o.f & 65536) || !!(o.f & 32) && !!(e.f & 16);
				pause_children(o, n, c ? i : !1);
			}
			o = s;
		}
	}
}
function resume_effect(e) {
	e.f &= -257, resume_children(e, !0);
}
function resume_children(e, n) {
	if (!(e.f & 256) && e.f & 8192) {
		e.f ^= INERT, e.f & 1024 || (set_signal_status(e, DIRTY), Batch.ensure().schedule(e));
		for (var i = e.first; i !== null;) {
			var a = i.next, o = !!(i.f & 65536) || !!(i.f & 32);
			resume_children(i, o ? n : !1), i = a;
		}
		var s = e.nodes && e.nodes.t;
		if (s !== null) for (let e of s) (e.is_global || n) && e.in();
	}
}
function move_effect(e, n) {
	if (e.nodes) for (var i = e.nodes.start, a = e.nodes.end; i !== null;) {
		var o = i === a ? null : get_next_sibling(i);
		n.append(i), i = o;
	}
}
// node_modules/svelte/src/internal/client/legacy.js
var captured_signals = null, is_destroying_effect = !1;
function set_is_destroying_effect(e) {
	is_destroying_effect = e;
}
var active_reaction = null, untracking = !1;
function set_active_reaction(e) {
	active_reaction = e;
}
var active_effect = null;
function set_active_effect(e) {
	active_effect = e;
}
var current_sources = null;
function push_reaction_value(e) {
	active_reaction !== null && (active_reaction.f & 2097152 || active_reaction.f & 2) && (current_sources ??= new Set()).add(e);
}
var new_deps = null, skipped_deps = 0, untracked_writes = null;
function set_untracked_writes(e) {
	untracked_writes = e;
}
var write_version = 1, read_version = 0, update_version = read_version;
function set_update_version(e) {
	update_version = e;
}
function increment_write_version() {
	return ++write_version;
}
function is_dirty(e) {
	var n = e.f;
	if (n & 2048) return !0;
	if (n & 4096) {
		for (var i = e.deps, a = i.length, o = 0; o < a; o++) {
			var s = i[o];
			if (is_dirty(s) && update_derived(s), s.wv > e.wv) return !0;
		}
		n & 512 && batch_values === null && set_signal_status(e, CLEAN);
	}
	return !1;
}
function schedule_possible_effect_self_invalidation(e, n, i = !0) {
	var a = e.reactions;
	if (a !== null && !(current_sources !== null && current_sources.has(e))) for (var o = 0; o < a.length; o++) {
		var s = a[o];
		s.f & 2 ? schedule_possible_effect_self_invalidation(s, n, !1) : n === s && (i ? set_signal_status(s, DIRTY) : s.f & 1024 && set_signal_status(s, MAYBE_DIRTY), schedule_effect(s));
	}
}
function update_reaction(e) {
	var n = new_deps, i = skipped_deps, a = untracked_writes, o = active_reaction, s = current_sources, c = component_context, l = untracking, u = update_version, d = e.f;
	new_deps = null, skipped_deps = 0, untracked_writes = null, active_reaction = d & 96 ? null : e, current_sources = null, set_component_context(e.ctx), untracking = !1, update_version = ++read_version, e.ac !== null && (without_reactive_context(() => {
		e.ac.abort(STALE_REACTION);
	}), e.ac = null);
	try {
		e.f |= REACTION_IS_UPDATING;
		var f = e.fn, p = f();
		e.f |= REACTION_RAN;
		var m = update_dependencies(e);
		if (is_runes() && untracked_writes !== null && !untracking && m !== null && !(e.f & 6146)) for (var h = 0; h < untracked_writes.length; h++) schedule_possible_effect_self_invalidation(untracked_writes[h], e);
		if (o !== null && o !== e) {
			if (read_version++, o.deps !== null) for (let e = 0; e < i; e += 1) o.deps[e].rv = read_version;
			if (n !== null) for (let e of n) e.rv = read_version;
			untracked_writes !== null && (a === null ? a = untracked_writes : a.push(...untracked_writes));
		}
		return e.f & 8388608 && (e.f ^= ERROR_VALUE), p;
	} catch (n) {
		return update_dependencies(e), handle_error(n);
	} finally {
		e.f ^= REACTION_IS_UPDATING, new_deps = n, skipped_deps = i, untracked_writes = a, active_reaction = o, current_sources = s, set_component_context(c), untracking = l, update_version = u;
	}
}
function update_dependencies(e) {
	var n = e.deps, i = current_batch?.is_fork;
	if (new_deps !== null) {
		var a;
		if (i || remove_reactions(e, skipped_deps), n !== null && skipped_deps > 0) for (n.length = skipped_deps + new_deps.length, a = 0; a < new_deps.length; a++) n[skipped_deps + a] = new_deps[a];
		else e.deps = n = new_deps;
		if (effect_tracking() && e.f & 512) for (a = skipped_deps; a < n.length; a++) (n[a].reactions ??= []).push(e);
	} else !i && n !== null && skipped_deps < n.length && (remove_reactions(e, skipped_deps), n.length = skipped_deps);
	return n;
}
function remove_reaction(e, n) {
	let i = n.reactions;
	if (i !== null) {
		var a = index_of.call(i, e);
		if (a !== -1) {
			var o = i.length - 1;
			o === 0 ? i = n.reactions = null : (i[a] = i[o], i.pop());
		}
	}
	if (i === null && n.f & 2 && (new_deps === null || !includes.call(new_deps, n))) {
		var s = n;
		s.f & 512 && (s.f ^= 512), s.v !== UNINITIALIZED && update_derived_status(s), s.ac !== null && without_reactive_context(() => {
			s.ac.abort(STALE_REACTION), s.ac = null, set_signal_status(s, DIRTY);
		}), freeze_derived_effects(s), remove_reactions(s, 0);
	}
}
function remove_reactions(e, n) {
	var i = e.deps;
	if (i !== null) for (var a = n; a < i.length; a++) remove_reaction(e, i[a]);
}
function update_effect(e) {
	var n = e.f;
	if (!(n & 16384)) {
		set_signal_status(e, CLEAN);
		var i = active_effect;
		active_effect = e;
		try {
			n & 16777232 ? destroy_block_effect_children(e) : destroy_effect_children(e), execute_effect_teardown(e);
			var a = update_reaction(e);
			e.teardown = typeof a == "function" ? a : null, e.wv = write_version;
		} finally {
			active_effect = i;
		}
	}
}
async function tick() {
	await Promise.resolve(), flushSync();
}
function get$1(e) {
	var n = !!(e.f & 2);
	if (captured_signals?.add(e), active_reaction !== null && !untracking && !(active_effect !== null && active_effect.f & 16384) && (current_sources === null || !current_sources.has(e))) {
		var i = active_reaction.deps;
		if (active_reaction.f & 2097152) e.rv < read_version && (e.rv = read_version, new_deps === null && i !== null && i[skipped_deps] === e ? skipped_deps++ : new_deps === null ? new_deps = [e] : new_deps.push(e));
		else {
			active_reaction.deps ??= [], includes.call(active_reaction.deps, e) || active_reaction.deps.push(e);
			var a = e.reactions;
			a === null ? e.reactions = [active_reaction] : includes.call(a, active_reaction) || a.push(active_reaction);
		}
	}
	if (is_destroying_effect && old_values.has(e)) return old_values.get(e);
	if (n) {
		var o = e;
		if (is_destroying_effect) {
			var s = o.v;
			return (!(o.f & 1024) && o.reactions !== null || depends_on_old_values(o)) && (s = execute_derived(o)), old_values.set(o, s), s;
		}
		var c = !(o.f & 512) && !untracking && active_reaction !== null && !!(active_reaction.f & 512), l = (o.f & REACTION_RAN) === 0;
		is_dirty(o) && (c && (o.f |= 512), update_derived(o)), c && !l && (unfreeze_derived_effects(o), reconnect(o));
	}
	if (batch_values?.has(e)) return batch_values.get(e);
	if (e.f & 8388608) throw e.v;
	return e.v;
}
function reconnect(e) {
	if (e.f |= 512, e.deps !== null) for (let i of e.deps) {
		var n = i.reactions;
		n === null ? i.reactions = [e] : includes.call(n, e) || n.push(e), i.f & 2 && !(i.f & 512) && (unfreeze_derived_effects(i), reconnect(i));
	}
}
function depends_on_old_values(e) {
	if (e.v === UNINITIALIZED) return !0;
	if (e.deps === null) return !1;
	for (let n of e.deps) if (old_values.has(n) || n.f & 2 && depends_on_old_values(n)) return !0;
	return !1;
}
function untrack(e) {
	var n = untracking;
	try {
		return untracking = !0, e();
	} finally {
		untracking = n;
	}
}
// node_modules/svelte/src/utils.js
function is_capture_event(e) {
	return e.endsWith("capture") && e !== "gotpointercapture" && e !== "lostpointercapture";
}
var DELEGATED_EVENTS = [
	"beforeinput",
	"click",
	"change",
	"dblclick",
	"contextmenu",
	"focusin",
	"focusout",
	"input",
	"keydown",
	"keyup",
	"mousedown",
	"mousemove",
	"mouseout",
	"mouseover",
	"mouseup",
	"pointerdown",
	"pointermove",
	"pointerout",
	"pointerover",
	"pointerup",
	"touchend",
	"touchmove",
	"touchstart"
];
function can_delegate_event(e) {
	return DELEGATED_EVENTS.includes(e);
}
var DOM_BOOLEAN_ATTRIBUTES = "allowfullscreen.async.autofocus.autoplay.checked.controls.default.disabled.formnovalidate.indeterminate.inert.ismap.loop.multiple.muted.nomodule.novalidate.open.playsinline.readonly.required.reversed.seamless.selected.webkitdirectory.defer.disablepictureinpicture.disableremoteplayback".split("."), ATTRIBUTE_ALIASES = {
	formnovalidate: "formNoValidate",
	ismap: "isMap",
	nomodule: "noModule",
	playsinline: "playsInline",
	readonly: "readOnly",
	defaultvalue: "defaultValue",
	defaultchecked: "defaultChecked",
	srcobject: "srcObject",
	novalidate: "noValidate",
	allowfullscreen: "allowFullscreen",
	disablepictureinpicture: "disablePictureInPicture",
	disableremoteplayback: "disableRemotePlayback"
};
function normalize_attribute(e) {
	return e = e.toLowerCase(), ATTRIBUTE_ALIASES[e] ?? e;
}
[...DOM_BOOLEAN_ATTRIBUTES];
var PASSIVE_EVENTS = ["touchstart", "touchmove"];
function is_passive_event(e) {
	return PASSIVE_EVENTS.includes(e);
}
var RAW_TEXT_ELEMENTS = [
	"textarea",
	"script",
	"style",
	"title"
];
function is_raw_text_element(e) {
	return RAW_TEXT_ELEMENTS.includes(e);
}
// node_modules/svelte/src/internal/client/dom/elements/events.js
var event_symbol = Symbol("events"), all_registered_events = new Set(), root_event_handles = new Set();
function create_event(e, n, i, a = {}) {
	function o(e) {
		if (a.capture || handle_event_propagation.call(n, e), !e.cancelBubble) return without_reactive_context(() => i?.call(this, e));
	}
	return e.startsWith("pointer") || e.startsWith("touch") || e === "wheel" ? (o.__removed = !1, queue_micro_task(() => {
		o.__removed || n.addEventListener(e, o, a);
	})) : n.addEventListener(e, o, a), o;
}
function event(e, n, i, a, o) {
	var s = {
		capture: a,
		passive: o
	}, c = create_event(e, n, i, s);
	(n === document.body || n === window || n === document || n instanceof HTMLMediaElement) && teardown(() => {
		c.__removed = !0, n.removeEventListener(e, c, s);
	});
}
function delegated(e, n, i) {
	(n[event_symbol] ??= {})[e] = i;
}
function delegate(e) {
	for (var n = 0; n < e.length; n++) all_registered_events.add(e[n]);
	for (var i of root_event_handles) i(e);
}
var last_propagated_event = null, last_propagated_event_clear_scheduled = !1;
function handle_event_propagation(e) {
	var n = this, i = n.ownerDocument, a = e.type, o = e.composedPath?.() || [], s = o[0] || e.target;
	last_propagated_event = e, last_propagated_event_clear_scheduled || (last_propagated_event_clear_scheduled = !0, setTimeout(() => {
		last_propagated_event_clear_scheduled = !1, last_propagated_event = null;
	}));
	var c = 0, l = last_propagated_event === e && e[event_symbol];
	if (l) {
		var u = o.indexOf(l);
		if (u !== -1 && (n === document || n === window)) {
			e[event_symbol] = n;
			return;
		}
		var d = o.indexOf(n);
		if (d === -1) return;
		u <= d && (c = u);
	}
	if (s = o[c] || e.target, s !== n) {
		define_property(e, "currentTarget", {
			configurable: !0,
			get() {
				return s || i;
			}
		});
		var f = active_reaction, p = active_effect;
		set_active_reaction(null), set_active_effect(null);
		try {
			for (var m, h = []; s !== null && s !== n;) {
				try {
					var g = s[event_symbol]?.[a];
					g == null || s.disabled && e.target !== s || g.call(s, e);
				} catch (e) {
					m ? h.push(e) : m = e;
				}
				if (e.cancelBubble) break;
				c++, s = c < o.length ? o[c] : null;
			}
			if (m) {
				for (let e of h) queueMicrotask(() => {
					throw e;
				});
				throw m;
			}
		} finally {
			e[event_symbol] = n, delete e.currentTarget, set_active_reaction(f), set_active_effect(p);
		}
	}
}
// node_modules/svelte/src/internal/client/dom/reconciler.js
var policy = globalThis?.window?.trustedTypes && globalThis.window.trustedTypes.createPolicy("svelte-trusted-html", { createHTML: (e) => e });
function create_trusted_html(e) {
	return policy?.createHTML(e) ?? e;
}
function create_fragment_from_html(e) {
	var n = create_element("template");
	return n.innerHTML = create_trusted_html(e.replaceAll("<!>", "<!---->")), n.content;
}
// node_modules/svelte/src/internal/client/dom/template.js
function assign_nodes(e, n) {
	var i = active_effect;
	i.nodes === null && (i.nodes = {
		start: e,
		end: n,
		a: null,
		t: null
	});
}
function from_html(e, n) {
	var i = !!(n & 1), a = !!(n & 2), o, s = !e.startsWith("<!>");
	return () => {
		if (hydrating) return assign_nodes(hydrate_node, null), hydrate_node;
		o === void 0 && (o = create_fragment_from_html(s ? e : "<!>" + e), i || (o = get_first_child(o)));
		var n = a || is_firefox ? document.importNode(o, !0) : o.cloneNode(!0);
		if (i) {
			var c = get_first_child(n), l = n.lastChild;
			assign_nodes(c, l);
		} else assign_nodes(n, n);
		return n;
	};
}
function from_namespace(e, n, i = "svg") {
	var a = !e.startsWith("<!>"), o = !!(n & 1), s = `<${i}>${a ? e : "<!>" + e}</${i}>`, c;
	return () => {
		if (hydrating) return assign_nodes(hydrate_node, null), hydrate_node;
		if (!c) {
			var e = get_first_child(create_fragment_from_html(s));
			if (o) for (c = document.createDocumentFragment(); get_first_child(e);) c.appendChild(get_first_child(e));
			else c = get_first_child(e);
		}
		var n = c.cloneNode(!0);
		if (o) {
			var i = get_first_child(n), a = n.lastChild;
			assign_nodes(i, a);
		} else assign_nodes(n, n);
		return n;
	};
}
function from_svg(e, n) {
	return from_namespace(e, n, "svg");
}
function text$2(e = "") {
	if (!hydrating) {
		var n = create_text(e + "");
		return assign_nodes(n, n), n;
	}
	var i = hydrate_node;
	return i.nodeType === 3 ? merge_text_nodes(i) : (i.before(i = create_text()), set_hydrate_node(i)), assign_nodes(i, i), i;
}
function comment() {
	if (hydrating) return assign_nodes(hydrate_node, null), hydrate_node;
	var e = document.createDocumentFragment(), n = document.createComment(""), i = create_text();
	return e.append(n, i), assign_nodes(n, i), e;
}
function append(e, n) {
	if (hydrating) {
		var i = active_effect;
		i.f & 32768 && i.nodes.end !== null || (i.nodes.end = hydrate_node), hydrate_next();
	} else e !== null && e.before(n);
}
// node_modules/svelte/src/reactivity/create-subscriber.js
function createSubscriber(e) {
	let n = 0, i = source(0), a;
	return () => {
		effect_tracking() && (get$1(i), render_effect(() => (n === 0 && (a = untrack(() => e(() => increment(i)))), n += 1, () => {
			queue_micro_task(() => {
				--n, n === 0 && (a?.(), a = void 0, increment(i));
			});
		})));
	};
}
// node_modules/svelte/src/internal/client/dom/blocks/boundary.js
var flags = EFFECT_TRANSPARENT | EFFECT_PRESERVED;
function boundary(e, n, i, a) {
	new Boundary(e, n, i, a);
}
var Boundary = class {
	parent;
	is_pending = !1;
	transform_error;
	#e;
	#t = hydrating ? hydrate_node : null;
	#n;
	#r;
	#i;
	#a = null;
	#o = null;
	#s = null;
	#c = null;
	#l = 0;
	#u = 0;
	#d = !1;
	#f = new Map();
	#p = null;
	#m = createSubscriber(() => (this.#p = source(this.#l), () => {
		this.#p = null;
	}));
	constructor(e, n, i, a) {
		this.#e = e, this.#n = n, this.#r = (e) => {
			var n = active_effect;
			n.b = this, n.f |= 128, i(e);
		}, this.parent = active_effect.b, this.transform_error = a ?? this.parent?.transform_error ?? ((e) => e), this.#i = block(() => {
			if (hydrating) {
				let e = read_hydration_instruction(this.#t);
				hydrate_next();
				let n = e === "[!";
				if (e.startsWith("[?")) {
					let n = JSON.parse(e.slice(2));
					this.#g(n);
				} else n ? this.#y() : this.#h();
			} else this.#b();
		}, flags), hydrating && (this.#e = hydrate_node);
	}
	#h() {
		try {
			this.#a = branch(() => this.#r(this.#e));
		} catch (e) {
			this.error(e);
		}
	}
	#g(e) {
		let n = this.#n.failed, { reset: i, invoke_onerror: a } = this.#_(e);
		queue_micro_task(a), n && (this.#s = branch(() => {
			n(this.#e, () => e, () => i);
		}));
	}
	#_(e) {
		var n = !1, i = !1;
		let a = () => {
			this.#v() || (n ? svelte_boundary_reset_noop() : (n = !0, i && svelte_boundary_reset_onerror(), this.#s !== null && pause_effect(this.#s, () => {
				this.#s = null;
			}), this.#S(() => {
				this.#b();
			})));
		};
		return {
			reset: a,
			invoke_onerror: () => {
				if (!this.#v()) try {
					i = !0, this.#n.onerror?.(e, a), i = !1;
				} catch (e) {
					invoke_error_boundary(e, this.#i && this.#i.parent);
				}
			}
		};
	}
	#v() {
		return (this.#i.f & (DESTROYED | DESTROYING)) !== 0;
	}
	#y() {
		let e = this.#n.pending;
		e && (this.is_pending = !0, this.#o = branch(() => e(this.#e)), queue_micro_task(() => {
			if (!this.#v()) {
				var e = this.#c = document.createDocumentFragment(), n = create_text(), i = !1;
				e.append(n), this.#a = this.#S(() => {
					try {
						return branch(() => this.#r(n));
					} catch (e) {
						try {
							this.error(e), i = !0;
						} catch (e) {
							invoke_error_boundary(e, this.#i.parent);
						}
						return null;
					}
				}), this.#a === null ? (this.#c = null, i && this.#x(current_batch)) : this.#u === 0 && (this.#e.before(e), this.#c = null, pause_effect(this.#o, () => {
					this.#o = null;
				}), this.#x(current_batch));
			}
		}));
	}
	#b() {
		try {
			if (this.is_pending = this.has_pending_snippet(), this.#u = 0, this.#l = 0, this.#a = branch(() => {
				this.#r(this.#e);
			}), this.#u > 0) {
				var e = this.#c = document.createDocumentFragment();
				move_effect(this.#a, e);
				let n = this.#n.pending;
				this.#o = branch(() => n(this.#e));
			} else this.#x(current_batch);
		} catch (e) {
			this.error(e);
		}
	}
	#x(e) {
		this.is_pending = !1, e.transfer_reactions(this.#f);
	}
	defer_effect(e) {
		defer_effect(e, this.#f);
	}
	is_rendered() {
		return !this.is_pending && (!this.parent || this.parent.is_rendered());
	}
	has_pending_snippet() {
		return !!this.#n.pending;
	}
	#S(e) {
		var n = active_effect, i = active_reaction, a = component_context;
		set_active_effect(this.#i), set_active_reaction(this.#i), set_component_context(this.#i.ctx);
		try {
			return Batch.ensure(), e();
		} finally {
			set_active_effect(n), set_active_reaction(i), set_component_context(a);
		}
	}
	#C(e, n) {
		this.has_pending_snippet() ? (this.#u += e, this.#u === 0 && (this.#x(n), this.#o && pause_effect(this.#o, () => {
			this.#o = null;
		}), this.#c &&= (this.#e.before(this.#c), null))) : this.parent && this.parent.#C(e, n);
	}
	update_pending_count(e, n) {
		this.#C(e, n), this.#l += e, !this.#p || this.#d || (this.#d = !0, queue_micro_task(() => {
			this.#d = !1, this.#p && internal_set(this.#p, this.#l);
		}));
	}
	get_effect_pending() {
		return this.#m(), get$1(this.#p);
	}
	error(e) {
		if (e === HYDRATION_ERROR || !this.#n.onerror && !this.#n.failed) throw e;
		current_batch?.is_fork ? (this.#a && current_batch.skip_effect(this.#a), this.#o && current_batch.skip_effect(this.#o), this.#s && current_batch.skip_effect(this.#s), current_batch.oncommit(() => {
			this.#v() || this.#w(e);
		})) : this.#w(e);
	}
	#w(e) {
		this.#a &&= (destroy_effect(this.#a), null), this.#o &&= (destroy_effect(this.#o), null), this.#s &&= (destroy_effect(this.#s), null), hydrating && (set_hydrate_node(this.#t), next(), set_hydrate_node(skip_nodes()));
		let n = this.#n.failed, i = (e) => {
			if (this.#v()) return;
			let { reset: i, invoke_onerror: a } = this.#_(e);
			a(), n && !this.#v() && (this.#s = this.#S(() => {
				try {
					return branch(() => {
						var a = active_effect;
						a.b = this, a.f |= 128, n(this.#e, () => e, () => i);
					});
				} catch (e) {
					return invoke_error_boundary(e, this.#i.parent), null;
				}
			}));
		};
		queue_micro_task(() => {
			if (!this.#v()) {
				var n;
				try {
					n = this.transform_error(e);
				} catch (e) {
					invoke_error_boundary(e, this.#i && this.#i.parent);
					return;
				}
				typeof n == "object" && n && typeof n.then == "function" ? n.then(i, (e) => invoke_error_boundary(e, this.#i && this.#i.parent)) : i(n);
			}
		});
	}
};
function set_text(e, n) {
	var i = n == null ? "" : typeof n == "object" ? `${n}` : n;
	i !== (e[TEXT_CACHE] ??= e.nodeValue) && (e[TEXT_CACHE] = i, e.nodeValue = `${i}`);
}
function mount(e, n) {
	return _mount(e, n);
}
var listeners = new Map();
function _mount(e, { target: n, anchor: i, props: a = {}, events: o, context: s, intro: c = !0, transformError: l }) {
	init_operations();
	var u = void 0, d = component_root(() => {
		var c = i ?? n.appendChild(create_text());
		boundary(c, { pending: () => {} }, (n) => {
			push$1({});
			var i = component_context;
			if (s && (i.c = s), o && (a.$$events = o), hydrating && assign_nodes(n, null), u = e(n, a) || mark_as_component(), hydrating && (active_effect.nodes.end = hydrate_node, hydrate_node === null || hydrate_node.nodeType !== 8 || hydrate_node.data !== "]")) throw hydration_mismatch(), HYDRATION_ERROR;
			pop();
		}, l);
		var d = new Set(), f = (e) => {
			for (var i = 0; i < e.length; i++) {
				var a = e[i];
				if (!d.has(a)) {
					d.add(a);
					var o = is_passive_event(a);
					for (let e of [n, document]) {
						var s = listeners.get(e);
						s === void 0 && (s = new Map(), listeners.set(e, s));
						var c = s.get(a);
						c === void 0 ? (e.addEventListener(a, handle_event_propagation, { passive: o }), s.set(a, 1)) : s.set(a, c + 1);
					}
				}
			}
		};
		return f(array_from(all_registered_events)), root_event_handles.add(f), () => {
			for (var e of d) for (let i of [n, document]) {
				var a = listeners.get(i), o = a.get(e);
				--o == 0 ? (i.removeEventListener(e, handle_event_propagation), a.delete(e), a.size === 0 && listeners.delete(i)) : a.set(e, o);
			}
			root_event_handles.delete(f), c !== i && c.parentNode?.removeChild(c);
		};
	});
	return mounted_components.set(u, d), u;
}
var mounted_components = new WeakMap(), BranchManager = class {
	anchor;
	#e = new Map();
	#t = new Map();
	#n = new Map();
	#r = new Set();
	#i = !0;
	constructor(e, n = !0) {
		this.anchor = e, this.#i = n;
	}
	#a = (e) => {
		if (this.#e.has(e)) {
			var n = this.#e.get(e), i = this.#t.get(n);
			if (i) resume_effect(i), this.#r.delete(n);
			else {
				var a = this.#n.get(n);
				a && (resume_effect(a.effect), this.#t.set(n, a.effect), this.#n.delete(n), a.fragment.lastChild.remove(), this.anchor.before(a.fragment), i = a.effect);
			}
			for (let [n, i] of this.#e) {
				if (this.#e.delete(n), n === e) break;
				let a = this.#n.get(i);
				a && (destroy_effect(a.effect), this.#n.delete(i));
			}
			for (let [e, a] of this.#t) {
				if (e === n || this.#r.has(e)) continue;
				let o = () => {
					if (Array.from(this.#e.values()).includes(e)) {
						var n = document.createDocumentFragment();
						move_effect(a, n), n.append(create_text()), this.#n.set(e, {
							effect: a,
							fragment: n
						});
					} else destroy_effect(a);
					this.#r.delete(e), this.#t.delete(e);
				};
				this.#i || !i ? (this.#r.add(e), pause_effect(a, o, !1)) : o();
			}
		}
	};
	#o = (e) => {
		this.#e.delete(e);
		let n = Array.from(this.#e.values());
		for (let [e, i] of this.#n) n.includes(e) || (destroy_effect(i.effect), this.#n.delete(e));
	};
	ensure(e, n) {
		var i = current_batch, a = should_defer_append();
		if (n && !this.#t.has(e) && !this.#n.has(e)) {
			if (a) {
				var o = document.createDocumentFragment(), s = create_text();
				o.append(s), this.#n.set(e, {
					effect: branch(() => n(s)),
					fragment: o
				});
			} else this.#t.set(e, branch(() => n(this.anchor)));
		}
		if (this.#e.set(i, e), a) {
			for (let [n, a] of this.#t) n === e ? i.unskip_effect(a) : i.skip_effect(a);
			for (let [n, a] of this.#n) n === e ? i.unskip_effect(a.effect) : i.skip_effect(a.effect);
			i.oncommit(this.#a), i.ondiscard(this.#o);
		} else hydrating && (this.anchor = hydrate_node), this.#a(i);
	}
};
// node_modules/svelte/src/internal/client/dom/blocks/if.js
function if_block(e, n, i = !1) {
	var a;
	hydrating && (a = hydrate_node, hydrate_next());
	var o = new BranchManager(e), s = i ? EFFECT_TRANSPARENT : 0;
	function c(e, n) {
		if (hydrating) {
			var i = read_hydration_instruction(a);
			if (e !== parseInt(i.substring(1))) {
				var s = skip_nodes();
				set_hydrate_node(s), o.anchor = s, set_hydrating(!1), o.ensure(e, n), set_hydrating(!0);
				return;
			}
		}
		o.ensure(e, n);
	}
	block(() => {
		var e = !1;
		n((n, i = 0) => {
			e = !0, c(i, n);
		}), e || c(-1, null);
	}, s);
}
// node_modules/svelte/src/internal/client/dom/blocks/key.js
var NAN = Symbol("NaN");
function key(e, n, i) {
	hydrating && hydrate_next();
	var a = new BranchManager(e), o = !is_runes();
	block(() => {
		var e = n();
		e !== e && (e = NAN), o && typeof e == "object" && e && (e = {}), a.ensure(e, i);
	});
}
// node_modules/svelte/src/internal/client/dom/blocks/each.js
function index(e, n) {
	return n;
}
function pause_effects(e, n, i) {
	for (var a = [], o = n.length, s, c = n.length, l = 0; l < o; l++) {
		let i = n[l];
		pause_effect(i, () => {
			if (s) {
				if (s.pending.delete(i), s.done.add(i), s.pending.size === 0) {
					var n = e.outrogroups;
					destroy_effects(e, array_from(s.done)), n.delete(s), n.size === 0 && (e.outrogroups = null);
				}
			} else --c;
		}, !1);
	}
	if (c === 0) {
		var u = a.length === 0 && i !== null && e.pending.size === 0;
		if (u) {
			var d = i, f = d.parentNode;
			clear_text_content(f), f.append(d), e.items.clear();
		}
		destroy_effects(e, n, !u);
	} else s = {
		pending: new Set(n),
		done: new Set()
	}, (e.outrogroups ??= new Set()).add(s);
}
function destroy_effects(e, n, i = !0) {
	var a;
	if (e.pending.size > 0) {
		a = new Set();
		for (let n of e.pending.values()) for (let i of n) a.add(e.items.get(i).e);
	}
	for (var o = 0; o < n.length; o++) {
		var s = n[o];
		a?.has(s) ? (s.f |= EFFECT_OFFSCREEN, move_effect(s, document.createDocumentFragment())) : destroy_effect(n[o], i);
	}
}
var offscreen_anchor;
function each(e, n, i, a, o, s = null) {
	var c = e, l = new Map();
	if (n & 4) {
		var u = e;
		c = hydrating ? set_hydrate_node(get_first_child(u)) : u.appendChild(create_text());
	}
	hydrating && hydrate_next();
	var d = null, f = derived_safe_equal(() => {
		var e = i();
		return is_array(e) ? e : e == null ? [] : array_from(e);
	}), p = new Map(), m = !0;
	function h(e) {
		if (!(_.effect.f & 16384)) {
			_.pending.delete(e);
			var i = get$1(f);
			_.fallback = d, reconcile(_, i, c, n, a), d !== null && (i.length === 0 ? d.f & 33554432 ? (d.f ^= EFFECT_OFFSCREEN, move(d, null, c)) : resume_effect(d) : pause_effect(d, () => {
				d = null;
			}));
		}
	}
	function g(e) {
		_.pending.delete(e);
	}
	var _ = {
		effect: block(() => {
			var e = get$1(f), u = e.length;
			let _ = !1;
			hydrating && read_hydration_instruction(c) === "[!" != (u === 0) && (c = skip_nodes(), set_hydrate_node(c), set_hydrating(!1), _ = !0);
			for (var v = new Set(), y = current_batch, b = should_defer_append(), x = 0; x < u; x += 1) {
				hydrating && hydrate_node.nodeType === 8 && hydrate_node.data === "]" && (c = hydrate_node, _ = !0, set_hydrating(!1));
				var S = e[x], C = a(S, x), w = m ? null : l.get(C);
				w ? (w.v && internal_set(w.v, S), w.i && internal_set(w.i, x), b && y.unskip_effect(w.e)) : (w = create_item(l, m ? c : offscreen_anchor ??= create_text(), S, C, x, o, n, i), m || (w.e.f |= EFFECT_OFFSCREEN), l.set(C, w)), v.add(C);
			}
			if (u === 0 && s && !d && (m ? d = branch(() => s(c)) : (d = branch(() => s(offscreen_anchor ??= create_text())), d.f |= EFFECT_OFFSCREEN)), u > v.size && each_key_duplicate("", "", ""), hydrating && u > 0 && set_hydrate_node(skip_nodes()), !m) {
				if (p.set(y, v), b) {
					for (let [e, n] of l) v.has(e) || y.skip_effect(n.e);
					y.oncommit(h), y.ondiscard(g);
				} else h(y);
			}
			_ && set_hydrating(!0), get$1(f);
		}),
		flags: n,
		items: l,
		pending: p,
		outrogroups: null,
		fallback: d
	};
	m = !1, hydrating && (c = hydrate_node);
}
function skip_to_branch(e) {
	for (; e !== null && !(e.f & 32);) e = e.next;
	return e;
}
function reconcile(e, n, i, a, o) {
	var s = !!(a & 8), c = n.length, l = e.items, u = skip_to_branch(e.effect.first), d, f = null, p, m = [], h = [], g, _, v, y;
	if (s) for (y = 0; y < c; y += 1) g = n[y], _ = o(g, y), v = l.get(_).e, v.f & 33554432 || (v.nodes?.a?.measure(), (p ??= new Set()).add(v));
	for (y = 0; y < c; y += 1) {
		if (g = n[y], _ = o(g, y), v = l.get(_).e, e.outrogroups !== null) for (let n of e.outrogroups) n.pending.delete(v), n.done.delete(v);
		if (v.f & 8192 && (resume_effect(v), s && (v.nodes?.a?.unfix(), (p ??= new Set()).delete(v))), v.f & 33554432) {
			if (v.f ^= EFFECT_OFFSCREEN, v === u) move(v, null, i);
			else {
				var b = f ? f.next : u;
				v === e.effect.last && (e.effect.last = v.prev), v.prev && (v.prev.next = v.next), v.next && (v.next.prev = v.prev), link(e, f, v), link(e, v, b), move(v, b, i), f = v, m = [], h = [], u = skip_to_branch(f.next);
				continue;
			}
		}
		if (v !== u) {
			if (d !== void 0 && d.has(v)) {
				if (m.length < h.length) {
					var x = h[0], S;
					f = x.prev;
					var C = m[0], w = m[m.length - 1];
					for (S = 0; S < m.length; S += 1) move(m[S], x, i);
					for (S = 0; S < h.length; S += 1) d.delete(h[S]);
					link(e, C.prev, w.next), link(e, f, C), link(e, w, x), u = x, f = w, --y, m = [], h = [];
				} else d.delete(v), move(v, u, i), link(e, v.prev, v.next), link(e, v, f === null ? e.effect.first : f.next), link(e, f, v), f = v;
				continue;
			}
			for (m = [], h = []; u !== null && u !== v;) (d ??= new Set()).add(u), h.push(u), u = skip_to_branch(u.next);
			if (u === null) continue;
		}
		v.f & 33554432 || m.push(v), f = v, u = skip_to_branch(v.next);
	}
	if (e.outrogroups !== null) {
		for (let n of e.outrogroups) n.pending.size === 0 && (destroy_effects(e, array_from(n.done)), e.outrogroups?.delete(n));
		e.outrogroups.size === 0 && (e.outrogroups = null);
	}
	if (u !== null || d !== void 0) {
		var T = [];
		if (d !== void 0) for (v of d) v.f & 8192 || T.push(v);
		for (; u !== null;) !(u.f & 8192) && u !== e.fallback && T.push(u), u = skip_to_branch(u.next);
		var E = T.length;
		if (E > 0) {
			var D = a & 4 && c === 0 ? i : null;
			if (s) {
				for (y = 0; y < E; y += 1) T[y].nodes?.a?.measure();
				for (y = 0; y < E; y += 1) T[y].nodes?.a?.fix();
			}
			pause_effects(e, T, D);
		}
	}
	s && queue_micro_task(() => {
		if (p !== void 0) for (v of p) v.nodes?.a?.apply();
	});
}
function create_item(e, n, i, a, o, s, c, l) {
	var u = c & 1 ? c & 16 ? source(i) : mutable_source(i, !1, !1) : null, d = c & 2 ? source(o) : null;
	return {
		v: u,
		i: d,
		e: branch(() => (s(n, u ?? i, d ?? o, l), () => {
			e.delete(a);
		}))
	};
}
function move(e, n, i) {
	if (e.nodes) for (var a = e.nodes.start, o = e.nodes.end, s = n && !(n.f & 33554432) ? n.nodes.start : i; a !== null;) {
		var c = get_next_sibling(a);
		if (s.before(a), a === o) return;
		a = c;
	}
}
function link(e, n, i) {
	n === null ? e.effect.first = i : n.next = i, i === null ? e.effect.last = n : i.prev = n;
}
// node_modules/svelte/src/internal/client/dom/blocks/snippet.js
function snippet(e, n, ...i) {
	var a = new BranchManager(e);
	block(() => {
		let e = n() ?? null;
		a.ensure(e, e && ((n) => e(n, ...i)));
	}, EFFECT_TRANSPARENT);
}
// node_modules/svelte/src/internal/client/dom/blocks/svelte-component.js
function component(e, n, i) {
	var a;
	hydrating && (a = hydrate_node, hydrate_next());
	var o = new BranchManager(e);
	block(() => {
		var e = n() ?? null;
		if (hydrating && read_hydration_instruction(a) === "[" != (e !== null)) {
			var s = skip_nodes();
			set_hydrate_node(s), o.anchor = s, set_hydrating(!1), o.ensure(e, e && ((n) => i(n, e))), set_hydrating(!0);
		} else o.ensure(e, e && ((n) => i(n, e)));
	}, EFFECT_TRANSPARENT);
}
// node_modules/svelte/src/internal/client/dom/blocks/svelte-element.js
function element(e, n, i, a, o, s) {
	let c = hydrating;
	hydrating && hydrate_next();
	var l = null;
	hydrating && hydrate_node.nodeType === 1 && (l = hydrate_node, hydrate_next());
	var u = hydrating ? hydrate_node : e, d = new BranchManager(u, !1);
	block(() => {
		let e = n() || null;
		var s = o ? o() : i || e === "svg" ? NAMESPACE_SVG : void 0;
		if (e === null) d.ensure(null, null);
		else return d.ensure(e, (n) => {
			if (e) {
				var i = hydrating;
				if (l = hydrating ? l : create_element(e, s), assign_nodes(l, l), a) {
					var o = null;
					hydrating && is_raw_text_element(e) && l.append(o = document.createComment(""));
					var c = hydrating ? get_first_child(l) : l.appendChild(create_text());
					hydrating && (c === null ? set_hydrating(!1) : set_hydrate_node(c)), a(l, c), o?.remove();
				}
				active_effect.nodes.end = l, i || n.before(l);
			}
			hydrating && set_hydrate_node(n);
		}), () => {};
	}, EFFECT_TRANSPARENT), teardown(() => {}), c && (set_hydrating(!0), set_hydrate_node(u));
}
// node_modules/svelte/src/internal/client/dom/elements/attachments.js
function attach(e, n) {
	var i = void 0, a;
	managed(() => {
		i !== (i = n()) && (a &&= (destroy_effect(a), null), i && (a = branch(() => {
			effect(() => i(e));
		})));
	});
}
// node_modules/clsx/dist/clsx.mjs
function r(e) {
	var n, i, a = "";
	if (typeof e == "string" || typeof e == "number") a += e;
	else if (typeof e == "object") {
		if (Array.isArray(e)) {
			var o = e.length;
			for (n = 0; n < o; n++) e[n] && (i = r(e[n])) && (a && (a += " "), a += i);
		} else for (i in e) e[i] && (a && (a += " "), a += i);
	}
	return a;
}
function clsx$1() {
	for (var e, n, i = 0, a = "", o = arguments.length; i < o; i++) (e = arguments[i]) && (n = r(e)) && (a && (a += " "), a += n);
	return a;
}
// node_modules/svelte/src/internal/shared/attributes.js
function clsx(e) {
	return typeof e == "object" ? clsx$1(e) : e ?? "";
}
var whitespace = [..." 	\n\r\f\xA0\v﻿"];
function to_class(e, n, i) {
	var a = e == null ? "" : "" + e;
	if (n && (a = a ? a + " " + n : n), i) {
		for (var o of Object.keys(i)) if (i[o]) a = a ? a + " " + o : o;
		else if (a.length) for (var s = o.length, c = 0; (c = a.indexOf(o, c)) >= 0;) {
			var l = c + s;
			(c === 0 || whitespace.includes(a[c - 1])) && (l === a.length || whitespace.includes(a[l])) ? a = (c === 0 ? "" : a.substring(0, c)) + a.substring(l + 1) : c = l;
		}
	}
	return a === "" ? null : a;
}
function append_styles(e, n = !1) {
	var i = n ? " !important;" : ";", a = "";
	for (var o of Object.keys(e)) {
		var s = e[o];
		s != null && s !== "" && (a += " " + o + ": " + s + i);
	}
	return a;
}
function to_css_name(e) {
	return e[0] !== "-" || e[1] !== "-" ? e.toLowerCase() : e;
}
function to_style(e, n) {
	if (n) {
		var i = "", a, o;
		if (Array.isArray(n) ? (a = n[0], o = n[1]) : a = n, e) {
			e = String(e).replaceAll(/\/\*.*?\*\//g, "").trim();
			var s = !1, c = 0, l = !1, u = [];
			a && u.push(...Object.keys(a).map(to_css_name)), o && u.push(...Object.keys(o).map(to_css_name));
			var d = 0, f = -1;
			let n = e.length;
			for (var p = 0; p < n; p++) {
				var m = e[p];
				if (l ? m === "/" && e[p - 1] === "*" && (l = !1) : s ? s === m && (s = !1) : m === "/" && e[p + 1] === "*" ? l = !0 : m === "\"" || m === "'" ? s = m : m === "(" ? c++ : m === ")" && c--, !l && s === !1 && c === 0) {
					if (m === ":" && f === -1) f = p;
					else if (m === ";" || p === n - 1) {
						if (f !== -1) {
							var h = to_css_name(e.substring(d, f).trim());
							if (!u.includes(h)) {
								m !== ";" && p++;
								var g = e.substring(d, p).trim();
								i += " " + g + ";";
							}
						}
						d = p + 1, f = -1;
					}
				}
			}
		}
		return a && (i += append_styles(a)), o && (i += append_styles(o, !0)), i = i.trim(), i === "" ? null : i;
	}
	return e == null ? null : String(e);
}
// node_modules/svelte/src/internal/client/dom/elements/class.js
function set_class(e, n, i, a, o, s) {
	var c = e[CLASS_CACHE];
	if (hydrating || c !== i || c === void 0) {
		var l = to_class(i, a, s);
		hydrating && l === e.getAttribute("class") || (l == null ? e.removeAttribute("class") : n ? e.className = l : e.setAttribute("class", l)), e[CLASS_CACHE] = i;
	} else if (s && o !== s) for (var u in s) {
		var d = !!s[u];
		(o == null || d !== !!o[u]) && e.classList.toggle(u, d);
	}
	return s;
}
// node_modules/svelte/src/internal/client/dom/elements/style.js
function update_styles(e, n = {}, i, a) {
	for (var o in i) {
		var s = i[o];
		n[o] !== s && (i[o] == null ? e.style.removeProperty(o) : e.style.setProperty(o, s, a));
	}
}
function set_style(e, n, i, a) {
	var o = e[STYLE_CACHE];
	if (hydrating || o !== n) {
		var s = to_style(n, a);
		hydrating && s === e.getAttribute("style") || (s == null ? e.removeAttribute("style") : e.style.cssText = s), e[STYLE_CACHE] = n;
	} else a && (Array.isArray(a) ? (update_styles(e, i?.[0], a[0]), update_styles(e, i?.[1], a[1], "important")) : update_styles(e, i, a));
	return a;
}
// node_modules/svelte/src/internal/client/dom/elements/bindings/select.js
function set_selected(e, n) {
	n ? e.hasAttribute("selected") || e.setAttribute("selected", "") : e.removeAttribute("selected");
}
function set_default_select_value(e, n) {
	var i = !("__defaultValue" in e);
	(i || e.__defaultValue !== n) && (e.__defaultValue = n, apply_default_select_value(e, !i || "__value" in e));
}
function apply_default_select_value(e, n) {
	var i = e.__defaultValue, a = e.multiple, o = a ? i ?? [] : null;
	if (!a || is_array(o)) {
		var s = e.selectedIndex, c = n && a ? new Set(e.selectedOptions) : null;
		for (var l of e.options) {
			var u = get_option_value(l);
			set_selected(l, a ? o.includes(u) : is(u, i));
		}
		if (n) {
			if (c !== null) for (l of e.options) {
				var d = c.has(l);
				l.selected !== d && (l.selected = d);
			}
			else e.selectedIndex !== s && (e.selectedIndex = s);
		}
	}
}
function select_option(e, n, i = !1) {
	if (e.multiple) {
		if (n == null) return;
		if (!is_array(n)) return select_multiple_invalid_value();
		for (var a of e.options) a.selected = n.includes(get_option_value(a));
	} else {
		for (a of e.options) if (is(get_option_value(a), n)) {
			a.selected = !0;
			return;
		}
		i && n === void 0 || (e.selectedIndex = -1);
	}
}
function init_select(e) {
	var n = new MutationObserver((n) => {
		n.every(is_selectedcontent_mutation) || ("__defaultValue" in e && apply_default_select_value(e, !1), "__value" in e && select_option(e, e.__value));
	});
	n.observe(e, {
		childList: !0,
		subtree: !0,
		attributes: !0,
		attributeFilter: ["value"]
	}), teardown(() => {
		n.disconnect();
	});
}
function bind_select_value(e, n, i = n) {
	var a = new WeakSet(), o = !0;
	listen_to_event_and_reset_event(e, "change", (n) => {
		var o = n ? "[selected]" : ":checked", s;
		if (e.multiple) s = [].map.call(e.querySelectorAll(o), get_option_value);
		else {
			var c = e.querySelector(o) ?? e.querySelector("option:not([disabled])");
			s = c && get_option_value(c);
		}
		i(s), e.__value = s, current_batch !== null && a.add(current_batch);
	}), effect(() => {
		var s = n();
		if (e === document.activeElement) {
			var c = current_batch;
			if (a.has(c)) return;
		}
		if (select_option(e, s, o), o && s === void 0) {
			var l = e.querySelector(":checked");
			l !== null && (s = get_option_value(l), i(s));
		}
		e.__value = s, o = !1;
	});
}
function get_option_value(e) {
	return "__value" in e ? e.__value : e.value;
}
function is_selectedcontent_mutation(e) {
	if (e.target.closest("selectedcontent") !== null) return !0;
	if (e.type === "childList") {
		var n = [...e.addedNodes, ...e.removedNodes];
		return n.length > 0 && n.every((e) => e.nodeName === "SELECTEDCONTENT");
	}
	return !1;
}
// node_modules/svelte/src/internal/client/dom/elements/attributes.js
var CLASS = Symbol("class"), STYLE = Symbol("style"), IS_CUSTOM_ELEMENT = Symbol("is custom element"), IS_HTML = Symbol("is html"), LINK_TAG = IS_XHTML ? "link" : "LINK", INPUT_TAG = IS_XHTML ? "input" : "INPUT", OPTION_TAG = IS_XHTML ? "option" : "OPTION", SELECT_TAG = IS_XHTML ? "select" : "SELECT", PROGRESS_TAG = IS_XHTML ? "progress" : "PROGRESS";
function remove_input_defaults(e) {
	if (hydrating) {
		var n = !1, i = () => {
			if (!n) {
				if (n = !0, e.hasAttribute("value")) {
					var i = e.value;
					set_attribute(e, "value", null), e.value = i;
				}
				if (e.hasAttribute("checked")) {
					var a = e.checked;
					set_attribute(e, "checked", null), e.checked = a;
				}
			}
		};
		e[FORM_RESET_HANDLER] = i, queue_micro_task(i), add_form_reset_listener();
	}
}
function set_value(e, n) {
	var i = get_attributes(e);
	i.value !== (i.value = n ?? void 0) && (e.value !== n || n === 0 && e.nodeName === PROGRESS_TAG) && (e.value = n ?? "");
}
function set_checked(e, n) {
	var i = get_attributes(e);
	i.checked !== (i.checked = n ?? void 0) && (e.checked = n);
}
function set_attribute(e, n, i, a) {
	var o = get_attributes(e);
	if (!(hydrating && (o[n] = e.getAttribute(n), n === "src" || n === "srcset" || n === "href" && e.nodeName === LINK_TAG))) {
		var s = o[n];
		s !== (o[n] = i) && (n === "loading" && (e[LOADING_ATTR_SYMBOL] = i), i == null ? e.removeAttribute(n) : typeof i != "string" && get_setters(e).has(n) ? e[n] = i : (!hydrating || typeof i != "number" && typeof i != "boolean" || s !== String(i)) && e.setAttribute(n, i));
	}
}
function set_attributes(e, n, i, a, o = !1, s = !1) {
	hydrating && o && e.nodeName === INPUT_TAG && ("defaultValue" in i || "defaultChecked" in i || remove_input_defaults(e));
	var c = get_attributes(e), l = c[IS_CUSTOM_ELEMENT], u = !c[IS_HTML];
	let d = hydrating && l;
	d && set_hydrating(!1);
	var f = n || {}, p = e.nodeName === OPTION_TAG, m = e.nodeName === SELECT_TAG;
	try {
		for (var h in n) !(h in i) && h[0] + h[1] !== "$$" && (i[h] = null);
		i.class ? i.class = clsx(i.class) : (a || i[CLASS]) && (i.class = null), i[STYLE] && (i.style ??= null);
		var g = get_setters(e);
		if (e.nodeName === INPUT_TAG && "type" in i && ("value" in i || "__value" in i)) {
			var _ = i.type;
			(_ !== f.type || _ === void 0 && e.hasAttribute("type")) && (f.type = _, set_attribute(e, "type", _, s));
		}
		for (let o in i) {
			let d = i[o];
			if (p && o === "value" && d == null) e.value = e.__value = "", f[o] = d;
			else if (o === "class") set_class(e, e.namespaceURI === "http://www.w3.org/1999/xhtml", d, a, n?.[CLASS], i[CLASS]), f[o] = d, f[CLASS] = i[CLASS];
			else if (o === "style") set_style(e, d, n?.[STYLE], i[STYLE]), f[o] = d, f[STYLE] = i[STYLE];
			else {
				var v = f[o];
				if (d !== v || d === void 0 && e.hasAttribute(o)) {
					f[o] = d;
					var y = o[0] + o[1];
					if (y !== "$$") {
						if (y === "on") {
							let n = {}, i = "$$" + o, a = o.slice(2);
							var b = can_delegate_event(a);
							if (is_capture_event(a) && (a = a.slice(0, -7), n.capture = !0), !b && v) {
								if (d != null) continue;
								e.removeEventListener(a, f[i], n), f[i] = null;
							}
							if (b) delegated(a, e, d), delegate([a]);
							else if (d != null) {
								function s(e) {
									f[o].call(this, e);
								}
								f[i] = create_event(a, e, s, n);
							}
						} else if (o === "style") set_attribute(e, o, d);
						else if (o === "autofocus") autofocus(e, !!d);
						else if (!l && (o === "__value" || o === "value" && d != null)) e.__value = d, (v == null || e.value !== d || d === 0 && e.nodeName === PROGRESS_TAG) && (e.value = d);
						else if (o === "selected" && p) set_selected(e, d);
						else {
							var x = o;
							u || (x = normalize_attribute(x));
							var S = x === "defaultValue" || x === "defaultChecked";
							if (m && x === "defaultValue") continue;
							if (d == null && !l && !S) {
								if (c[o] = null, x === "value" || x === "checked") {
									let i = e, a = n === void 0;
									if (x === "value") {
										let e = i.defaultValue;
										i.removeAttribute(x), i.defaultValue = e, i.value = i.__value = a ? e : null;
									} else {
										let e = i.defaultChecked;
										i.removeAttribute(x), i.defaultChecked = e, i.checked = a ? e : !1;
									}
								} else e.removeAttribute(o);
							} else S || (l || typeof d != "string") && g.has(x) ? (e[x] = d, x in c && (c[x] = UNINITIALIZED)) : typeof d != "function" && set_attribute(e, x, d, s);
						}
					}
				}
			}
		}
	} finally {
		d && set_hydrating(!0);
	}
	return f;
}
function attribute_effect(e, n, i = [], a = [], o = [], s, c = !1, l = !1) {
	flatten(o, i, a, (i) => {
		var a = void 0, o = {}, u = e.nodeName === SELECT_TAG, d = !1;
		if (managed(() => {
			var f = n(...i.map(get$1)), p = set_attributes(e, a, f, s, c, l);
			if (d && u) {
				var m = e;
				"defaultValue" in f && set_default_select_value(m, f.defaultValue), "value" in f && select_option(m, f.value);
			}
			for (let e of Object.getOwnPropertySymbols(o)) f[e] || destroy_effect(o[e]);
			for (let n of Object.getOwnPropertySymbols(f)) {
				var h = f[n];
				n.description !== "@attach" || a && h === a[n] || (o[n] && destroy_effect(o[n]), o[n] = branch(() => attach(e, () => h))), p[n] = h;
			}
			a = p;
		}), u) {
			var f = e;
			effect(() => {
				var e = a;
				"defaultValue" in e && set_default_select_value(f, e.defaultValue), select_option(f, e.value, !0), init_select(f);
			});
		}
		d = !0;
	});
}
function get_attributes(e) {
	return e[ATTRIBUTES_CACHE] ??= {
		[IS_CUSTOM_ELEMENT]: e.nodeName.includes("-"),
		[IS_HTML]: e.namespaceURI === NAMESPACE_HTML
	};
}
var setters_cache = new Map();
function get_setters(e) {
	var n = e.getAttribute("is") || e.nodeName, i = setters_cache.get(n);
	if (i) return i;
	setters_cache.set(n, i = new Set());
	for (var a, o = e, s = Element.prototype; s !== o;) {
		for (var c in a = get_descriptors(o), a) a[c].set && c !== "innerHTML" && c !== "textContent" && c !== "innerText" && i.add(c);
		o = get_prototype_of(o);
	}
	return i;
}
// node_modules/svelte/src/internal/client/dom/elements/bindings/input.js
function bind_value(e, n, i = n) {
	var a = new WeakSet();
	listen_to_event_and_reset_event(e, "input", async (o) => {
		var s = o ? e.defaultValue : e.value;
		if (s = is_numberlike_input(e) ? to_number(s) : s, i(s), current_batch !== null && a.add(current_batch), await tick(), s !== (s = n())) {
			var c = e.selectionStart, l = e.selectionEnd, u = e.value.length;
			if (e.value = s ?? "", l !== null) {
				var d = e.value.length;
				c === l && l === u && d > u ? (e.selectionStart = d, e.selectionEnd = d) : (e.selectionStart = c, e.selectionEnd = Math.min(l, d));
			}
		}
	}), (hydrating && e.defaultValue !== e.value || untrack(n) == null && e.value) && (i(is_numberlike_input(e) ? to_number(e.value) : e.value), current_batch !== null && a.add(current_batch)), render_effect(() => {
		var i = n();
		if (e === document.activeElement) {
			var o = current_batch;
			if (a.has(o)) return;
		}
		is_numberlike_input(e) && i === to_number(e.value) || (e.type !== "date" || i || e.value) && i !== e.value && (e.value = i ?? "");
	});
}
var pending = new Set();
function bind_group(e, n, i, a, o = a) {
	var s = i.getAttribute("type") === "checkbox", c = e;
	let l = !1;
	if (n !== null) for (var u of n) c = c[u] ??= [];
	c.push(i), listen_to_event_and_reset_event(i, "change", () => {
		var e = i.__value;
		s && (e = get_binding_group_value(c, e, i.checked)), o(e);
	}, () => o(s ? [] : null)), render_effect(() => {
		var e = a();
		hydrating && i.defaultChecked !== i.checked ? l = !0 : s ? (e ||= [], i.checked = e.includes(i.__value)) : i.checked = is(i.__value, e);
	}), teardown(() => {
		var e = c.indexOf(i);
		e !== -1 && c.splice(e, 1);
	}), pending.has(c) || (pending.add(c), queue_micro_task(() => {
		c.sort((e, n) => e.compareDocumentPosition(n) === 4 ? -1 : 1), pending.delete(c);
	})), queue_micro_task(() => {
		if (l) {
			var e = s ? get_binding_group_value(c, e, i.checked) : c.find((e) => e.checked)?.__value;
			o(e);
		}
	});
}
function get_binding_group_value(e, n, i) {
	for (var a = new Set(), o = 0; o < e.length; o += 1) e[o].checked && a.add(e[o].__value);
	return i || a.delete(n), Array.from(a);
}
function is_numberlike_input(e) {
	var n = e.type;
	return n === "number" || n === "range";
}
function to_number(e) {
	return e === "" ? null : +e;
}
var resize_observer_border_box = new class e {
	#e = new WeakMap();
	#t;
	#n;
	static entries = new WeakMap();
	constructor(e) {
		this.#n = e;
	}
	observe(e, n) {
		var i = this.#e.get(e) || new Set();
		return i.add(n), this.#e.set(e, i), this.#r().observe(e, this.#n), () => {
			var i = this.#e.get(e);
			i.delete(n), i.size === 0 && (this.#e.delete(e), this.#t.unobserve(e));
		};
	}
	#r() {
		return this.#t ??= new ResizeObserver((n) => {
			for (var i of n) {
				e.entries.set(i.target, i);
				for (var a of this.#e.get(i.target) || []) a(i);
			}
		});
	}
}({ box: "border-box" });
function bind_element_size(e, n, i) {
	var a = resize_observer_border_box.observe(e, () => i(e[n]));
	effect(() => (untrack(() => i(e[n])), a));
}
// node_modules/svelte/src/internal/client/dom/elements/bindings/this.js
function is_bound_this(e, n) {
	return e === n || e?.[STATE_SYMBOL] === n;
}
function bind_this(e = mark_as_component(), n, i, a) {
	var o = component_context.r, s = active_effect;
	return effect(() => {
		var c, l;
		return render_effect(() => {
			c = l, l = a?.() || [], untrack(() => {
				is_bound_this(i(...l), e) || (n(e, ...l), c && is_bound_this(i(...c), e) && n(null, ...c));
			});
		}), () => {
			let a = s;
			for (; a !== o && a.parent !== null && a.parent.f & 33554432;) a = a.parent;
			let c = () => {
				l && is_bound_this(i(...l), e) && n(null, ...l);
			}, u = a.teardown;
			a.teardown = () => {
				c(), u?.();
			};
		};
	}), e;
}
// node_modules/svelte/src/internal/client/dom/elements/bindings/window.js
function bind_window_size(e, n) {
	listen(window, ["resize"], () => without_reactive_context(() => n(window[e])));
}
// node_modules/svelte/src/internal/client/reactivity/store.js
var is_store_binding = !1;
function capture_store_binding(e) {
	var n = is_store_binding;
	try {
		return is_store_binding = !1, [e(), is_store_binding];
	} finally {
		is_store_binding = n;
	}
}
// node_modules/svelte/src/internal/client/reactivity/props.js
function prop(e, n, i, a) {
	var o = !0, s = !!(i & 8), c = !!(i & 16), l = a, u = !0, d = void 0, f = () => c && o ? (d ??= derived(a), get$1(d)) : (u && (u = !1, l = c ? untrack(a) : a), l);
	let p;
	if (s) {
		var m = STATE_SYMBOL in e || LEGACY_PROPS in e;
		p = get_descriptor(e, n)?.set ?? (m && n in e ? (i) => e[n] = i : void 0);
	}
	var h, g = !1;
	s ? [h, g] = capture_store_binding(() => e[n]) : h = e[n], h === void 0 && a !== void 0 && (h = f(), p && (o && props_invalid_value(n), p(h)));
	var _ = o ? () => {
		var i = e[n];
		return i === void 0 ? f() : (u = !0, i);
	} : () => {
		var i = e[n];
		return i !== void 0 && (l = void 0), i === void 0 ? l : i;
	};
	if (o && !(i & 4)) return _;
	if (p) {
		var v = e.$$legacy;
		return (function(e, n) {
			return arguments.length > 0 ? ((!o || !n || v || g) && p(n ? _() : e), e) : _();
		});
	}
	var y = !1, b = (i & 1 ? derived : derived_safe_equal)(() => (y = !1, _()));
	s && get$1(b);
	var x = active_effect;
	return (function(e, n) {
		if (arguments.length > 0) {
			let i = n ? get$1(b) : o && s ? proxy(e) : e;
			return set(b, i), y = !0, l !== void 0 && (l = i), e;
		}
		return is_destroying_effect && y || x.f & 16384 ? b.v : get$1(b);
	});
}
function onMount(e) {
	component_context === null && lifecycle_outside_component("onMount"), user_effect(() => {
		let n = untrack(e);
		if (typeof n == "function") return n;
	});
}
// node_modules/svelte/src/internal/disclose-version.js
typeof window < "u" && ((window.__svelte ??= {}).v ??= new Set()).add("5");
var CAPS = {
	entries: 400,
	spans: 600,
	runs: 100,
	approvals: 100,
	decisions: 100,
	rules: 100,
	queue: 50,
	samples: 200,
	modes: 50,
	rulings: 50,
	files: 500,
	blocks: 100,
	memory: 200,
	judge: 50,
	scores: 200,
	notes: 200,
	contacts: 100,
	channels: 100,
	talk: 100,
	hires: 100,
	offers: 20,
	identity: 50,
	payments: 200,
	peers: 100,
	branches: 100,
	marks: 2e3,
	calls: 200
}, emptySession = {
	id: "",
	name: "",
	owner: "",
	agent: "",
	provider: "",
	created: "",
	closed: !1,
	deleted: !1,
	merged_into: "",
	parent: "",
	fork: 0,
	branch_name: ""
}, emptyTotals = {
	runs: 0,
	steps: 0,
	prompt: 0,
	completion: 0,
	cost_micro: 0,
	uncosted: 0,
	calls: 0,
	ok: 0,
	failed: 0,
	denied: 0,
	files: 0,
	approvals: 0,
	spent_micro: 0,
	earned_micro: 0,
	payments: 0,
	compactions: 0,
	errors: 0
}, emptyContext = {
	window: 0,
	prompt: 0,
	prompt_seq: 0,
	frozen_seq: 0,
	noted_seq: 0,
	compacted_seq: 0,
	dropped: 0,
	before: 0,
	after: 0
};
function emptyState() {
	return {
		version: 2,
		seq: 0,
		branch: "",
		time: "",
		events: 0,
		status: "idle",
		mode: "",
		held: !1,
		suspended: "",
		breaker: !1,
		run: "",
		step: "",
		said: !1,
		session: emptySession,
		totals: emptyTotals,
		entries: [],
		dropped: 0,
		calls: [],
		runs: [],
		spans: [],
		approvals: [],
		decisions: [],
		rules: [],
		queue: [],
		vector: null,
		samples: [],
		gates: null,
		modes: [],
		rulings: [],
		files: [],
		context: emptyContext,
		blocks: [],
		memory: [],
		judge: [],
		scores: [],
		quality: null,
		notes: [],
		contacts: [],
		channels: [],
		talk: [],
		hires: [],
		demo: null,
		offers: [],
		identity: [],
		payments: [],
		peers: [],
		branches: [],
		marks: [],
		kinds: {}
	};
}
var emptyEntry = {
	seq: 0,
	branch: "",
	kind: "",
	ref: "",
	label: "",
	detail: "",
	state: "",
	end: 0,
	ms: 0,
	approval: "",
	rule: "",
	why: ""
};
function newEntry(e) {
	return {
		...emptyEntry,
		...e
	};
}
// src/fold/values.ts
var NOTHING = Object.freeze({});
function fields(e) {
	return typeof e == "object" && e && !Array.isArray(e) ? e : NOTHING;
}
function member(e, n) {
	return Object.hasOwn(e, n) ? e[n] : void 0;
}
function items(e) {
	return Array.isArray(e) ? e : [];
}
function text$1(e) {
	return typeof e == "string" ? e.toWellFormed() : "";
}
function short(e, n = 160) {
	let i = text$1(e);
	return i.length <= n ? i : Array.from(i.slice(0, n * 2)).slice(0, n).join("");
}
function texts(e, n = 20) {
	return items(e).filter((e) => typeof e == "string").map(text$1).slice(0, n);
}
function count(e) {
	return typeof e == "number" && Number.isSafeInteger(e) && e > 0 ? e : 0;
}
function known(e) {
	return typeof e == "number" && Number.isSafeInteger(e) && e >= 0 ? e + 0 : -1;
}
function fraction(e) {
	return typeof e == "number" && Number.isFinite(e) ? e + 0 : 0;
}
function capped(e) {
	return Math.min(e, 2 ** 53 - 1);
}
// src/fold/rows.ts
function push(e, n, i) {
	let a = e[n];
	a.push(i), a.length > CAPS[n] && a.shift();
}
function last(e, n) {
	return e.findLast(n);
}
function patch(e, n, i) {
	let a = {
		...n,
		...i
	};
	return e[e.lastIndexOf(n)] = a, a;
}
function entry(e, n) {
	e.entries.push(newEntry(n)), e.entries.length > CAPS.entries && (e.entries.shift(), e.dropped = capped(e.dropped + 1));
}
function toolEntry(e, n) {
	return last(e.entries, (e) => e.kind === "tool" && e.ref === n);
}
function notice(e, n, i = "") {
	entry(e, {
		seq: e.seq,
		branch: e.branch,
		kind: "notice",
		ref: n,
		detail: i
	});
}
function mark(e, n) {
	push(e, "marks", {
		seq: e.seq,
		kind: n
	});
}
function ruling(e, n, i = "") {
	push(e, "rulings", {
		seq: e.seq,
		type: n,
		detail: i
	});
}
function total(e, n) {
	let i = { ...e.totals };
	for (let e of Object.keys(n)) i[e] = capped(i[e] + (n[e] ?? 0));
	e.totals = i;
}
// src/fold/notes.ts
var LINK = /\[\[([^\[\]|#\n]{1,120})/gu, MOST_LINKS = 20, MOST_FOUND = 12, SEARCHES = {
	memory_search: "matches",
	knowledge_search: "results"
}, isSearch = (e) => Object.hasOwn(SEARCHES, e);
function linksIn(e) {
	let n = [];
	for (let i of e.matchAll(LINK)) {
		let e = (i[1] ?? "").replace(/^ +| +$/g, "");
		if (e && !n.includes(e) && (n.push(e), n.length === MOST_LINKS)) break;
	}
	return n;
}
function noted(e, n, i, a) {
	e.notes.some((e) => e.call === n) && (e.notes = e.notes.filter((e) => e.call !== n));
	let o = fields(a), s = (i, a, o) => push(e, "notes", {
		seq: e.seq,
		branch: e.branch,
		call: n,
		kind: i,
		id: a,
		links: o,
		ref: "",
		state: "asked"
	});
	if (i === "write_memory") s("memory", short(o.key), linksIn(text$1(o.content)));
	else if (i === "memory_propose") for (let e of items(o.entries).slice(0, MOST_FOUND)) {
		let n = text$1(fields(e).content), i = linksIn(n);
		i.length && s("memory", short(n, 60), i);
	}
	else if (i === "write_file") {
		let e = linksIn(text$1(o.content));
		e.length && s("file", short(o.path), e);
	} else isSearch(i) && s("search", short(o.query), []);
}
function answered(e, n, i, a, o) {
	let s = fields(o);
	for (let o of e.notes.filter((e) => e.call === n && e.state === "asked")) {
		let n = o.kind === "search" && a === "ok" ? foundIn(s, isSearch(i) ? SEARCHES[i] : "") : o.links;
		patch(e.notes, o, {
			state: a === "ok" ? "ok" : "failed",
			links: n,
			ref: o.kind === "memory" ? short(s.id) : ""
		});
	}
	if (i === "memory_graph" && a === "ok") for (let i of items(s.notes).slice(0, MOST_FOUND)) {
		let a = fields(i), o = items(a.links).filter((e) => text$1(e)).map((e) => short(e, 120)).slice(0, MOST_LINKS);
		push(e, "notes", {
			seq: e.seq,
			branch: e.branch,
			call: n,
			kind: "found",
			id: nameOf(a),
			links: o,
			ref: "",
			state: "ok"
		});
	}
}
function foundIn(e, n) {
	return items(Object.hasOwn(e, n) ? e[n] : void 0).slice(0, MOST_FOUND).map((e) => nameOf(fields(e))).filter(Boolean);
}
function nameOf(e) {
	return short(e.name) || short(e.path) || short(e.id);
}
// src/fold/runs.ts
var sessionCreated = (e, n, i) => {
	if (e.session.created) return;
	let a = fields(n.config);
	e.session = {
		...e.session,
		name: short(n.name, 200),
		owner: text$1(a.owner),
		provider: text$1(a.provider),
		created: i.timestamp
	};
}, sessionResumed = (e) => notice(e, "SessionResumed"), sessionClosed = (e, n) => {
	endOpenWork(e, "closed"), e.session = {
		...e.session,
		closed: !0
	}, e.queue = [], e.rules = [], e.approvals = [], notice(e, "SessionClosed", short(n.reason));
}, sessionDeleted = (e, n, i) => {
	sessionClosed(e, n, i), e.session = {
		...e.session,
		deleted: !0
	};
}, providerSet = (e, n) => {
	e.session = {
		...e.session,
		provider: text$1(n.provider)
	}, notice(e, "arcan.provider_set", short(n.provider));
}, branchCreated = (e, n) => {
	let i = short(n.name, 200), a = text$1(n.new_branch_id), o = count(n.fork_point_seq);
	if (a === e.branch) {
		let a = text$1(n.parent_branch_id) || "main";
		e.session = {
			...e.session,
			parent: a,
			fork: o,
			branch_name: i
		};
	} else push(e, "branches", {
		id: a,
		name: i,
		at: o,
		seq: e.seq
	});
	mark(e, "fork"), notice(e, "BranchCreated", i);
}, branchMerged = (e, n) => {
	mark(e, "fork"), notice(e, "BranchMerged", text$1(n.source_branch_id));
}, branchSealed = (e, n) => {
	e.session = {
		...e.session,
		merged_into: text$1(n.target_branch_id)
	}, notice(e, "arcan.branch_sealed", e.session.merged_into);
}, restored = (e, n) => notice(e, "CheckpointRestored", String(count(n.restored_to_seq))), userMessage = (e, n) => {
	e.breaker = !1, mark(e, "user"), entry(e, {
		seq: e.seq,
		branch: e.branch,
		kind: "user",
		detail: short(n.content)
	});
}, runStarted = (e, n, i) => {
	endOpenWork(e, "interrupted");
	let a = text$1(i.event_id), o = text$1(n.specification) || text$1(n.provider), s = i.timestamp;
	push(e, "runs", {
		id: a,
		seq: e.seq,
		started: s,
		provider: o,
		max_steps: count(n.max_iterations),
		max_tokens: 0,
		max_cost_micro: 0,
		end: 0,
		ended: "",
		reason: "",
		steps: 0,
		prompt: 0,
		completion: 0,
		cost_micro: 0,
		uncosted: 0,
		calls: 0,
		failed: 0
	}), openSpan(e, a, "", "run", o, s), e.run = a, total(e, { runs: 1 });
};
function openSpan(e, n, i, a, o, s) {
	push(e, "spans", {
		id: n,
		parent: i,
		kind: a,
		name: o,
		seq: e.seq,
		started: s,
		end: 0,
		ended: "",
		status: "",
		prompt: 0,
		completion: 0,
		first_ms: 0
	});
}
function endSpan(e, n, i, a) {
	let o = last(e.spans, (e) => e.id === n && !e.ended);
	o && patch(e.spans, o, {
		end: e.seq,
		ended: i,
		status: a
	});
}
var runLimits = (e, n) => {
	let i = openRun(e);
	i && patch(e.runs, i, {
		max_steps: count(n.max_steps),
		max_tokens: count(n.max_tokens),
		max_cost_micro: count(n.max_cost_micro)
	});
}, stepStarted = (e, n, i) => {
	let a = text$1(i.event_id);
	openSpan(e, a, e.run, "step", String(count(n.index)), i.timestamp), openSpan(e, a + ":model", a, "model", "", i.timestamp), e.step = a;
}, stepFinished = (e, n, i) => {
	endSpan(e, e.step, i.timestamp, short(n.stop_reason) || "ok"), e.step = "";
}, message = (e, n, i) => {
	let a = text$1(n.role), o = typeof n.content == "string" && n.content !== "";
	if (a === "user") return userMessage(e, n, i);
	if (a !== "assistant") return;
	let s = fields(n.token_usage), c = count(s.prompt_tokens), l = count(s.completion_tokens);
	e.said = o, o && entry(e, {
		seq: e.seq,
		branch: e.branch,
		kind: "text",
		detail: short(n.content)
	}), spend(e, s, c, l), total(e, { steps: 1 });
	let u = openRun(e);
	u && patch(e.runs, u, { steps: capped(u.steps + 1) }), member(s, "prompt_tokens") !== void 0 && (e.context = {
		...e.context,
		prompt: c,
		prompt_seq: e.seq
	});
	let d = last(e.spans, (n) => n.id === e.step + ":model" && !n.ended);
	d && patch(e.spans, d, {
		name: text$1(n.model),
		prompt: c,
		completion: l,
		first_ms: count(n.first_token_ms),
		end: e.seq,
		ended: i.timestamp,
		status: "ok"
	});
};
function spend(e, n, i, a) {
	let o = count(n.cost_micro), s = +(member(n, "cost_micro") === void 0);
	total(e, {
		prompt: i,
		completion: a,
		cost_micro: o,
		uncosted: s
	});
	let c = openRun(e);
	c && patch(e.runs, c, {
		prompt: capped(c.prompt + i),
		completion: capped(c.completion + a),
		cost_micro: capped(c.cost_micro + o),
		uncosted: capped(c.uncosted + s)
	});
}
var reasoning = (e) => {
	let n = {
		seq: e.seq,
		branch: e.branch,
		kind: "thinking"
	}, i = e.entries.at(-1);
	i && i.kind === "text" && i.seq === e.seq - 1 && i.branch === e.branch ? (e.entries.pop(), entry(e, n), e.entries.push(i)) : entry(e, n);
}, runFinished = (e, n, i) => {
	let a = short(n.reason), o = openRun(e);
	if (!o) {
		let n = last(e.runs, (e) => e.id === i.correlation_id);
		n && patch(e.runs, n, { reason: a });
		return;
	}
	let s = short(n.final_answer);
	endRun(e, o, i, a);
	let c = e.said ? "" : s;
	entry(e, {
		seq: e.seq,
		branch: e.branch,
		kind: "end",
		ref: o.id,
		label: a,
		detail: c
	}), mark(e, "end");
}, runErrored = (e, n, i) => {
	let a = openRun(e);
	a && endRun(e, a, i, "error"), total(e, { errors: 1 }), notice(e, "RunErrored", short(n.error)), mark(e, "failure");
};
function endRun(e, n, i, a) {
	patch(e.runs, n, {
		end: e.seq,
		ended: i.timestamp,
		reason: a
	}), endSpan(e, n.id, i.timestamp, a), endOpenWork(e, "cancelled");
}
function endOpenWork(e, n) {
	for (let n of e.calls) {
		let i = toolEntry(e, n.id);
		i && patch(e.entries, i, { state: "cancelled" });
	}
	let i = openRun(e);
	i && !i.ended && patch(e.runs, i, { reason: n }), e.calls = [], e.approvals = [], e.run = "", e.step = "", e.held = !1, e.suspended = "";
}
function openRun(e) {
	return e.run ? last(e.runs, (n) => n.id === e.run) : void 0;
}
var errorRaised = (e, n) => {
	total(e, { errors: 1 }), notice(e, "ErrorRaised", short(n.message)), mark(e, "failure");
}, compacted = (e, n) => {
	e.context = {
		...e.context,
		compacted_seq: e.seq,
		dropped: count(n.dropped_count),
		before: count(n.tokens_before),
		after: count(n.tokens_after)
	}, total(e, { compactions: 1 });
	let i = n.token_usage;
	typeof i == "object" && i && !Array.isArray(i) && spend(e, i, count(i.prompt_tokens), count(i.completion_tokens)), notice(e, "ContextCompacted");
}, contextFrozen = (e, n) => {
	e.context = {
		...e.context,
		frozen_seq: e.seq
	}, blocks$1(e, "frozen", n);
}, contextNoted = (e, n) => {
	e.context = {
		...e.context,
		noted_seq: e.seq
	}, blocks$1(e, "noted", n);
}, contextWindow = (e, n) => {
	e.context = {
		...e.context,
		window: count(n.window_tokens)
	};
};
function blocks$1(e, n, i) {
	e.blocks = e.blocks.filter((e) => e.part !== n);
	for (let a of items(i.blocks)) {
		let i = fields(a);
		push(e, "blocks", {
			part: n,
			kind: text$1(i.kind),
			source: text$1(i.source),
			tokens: count(i.tokens),
			cut: i.cut === !0,
			dropped: i.dropped === !0
		});
	}
}
var queued = (e, n) => {
	let i = text$1(n.queue_id);
	last(e.queue, (e) => e.id === i) || push(e, "queue", {
		id: i,
		mode: text$1(n.mode),
		message: text$1(n.message),
		seq: e.seq
	});
}, unqueued = (e, n) => {
	let i = text$1(n.queue_id);
	e.queue = e.queue.filter((e) => e.id !== i);
}, breakerTripped = (e, n) => {
	e.breaker = !0, notice(e, "CircuitBreakerTripped", short(n.reason)), ruling(e, "CircuitBreakerTripped", short(n.reason)), mark(e, "failure");
}, paused = (e) => {
	e.run && !e.held && (e.held = !0, notice(e, "arcan.run_paused"));
}, continued = (e) => {
	e.held && (e.held = !1, notice(e, "arcan.run_continued"));
}, suspended = (e, n) => {
	e.run && !e.suspended && (e.suspended = short(n.reason) || "suspended", notice(e, "arcan.suspended", e.suspended), ruling(e, "arcan.suspended", e.suspended));
}, resumed = (e, n) => {
	e.suspended && (e.suspended = "", notice(e, "arcan.resumed", short(n.reason)), ruling(e, "arcan.resumed", short(n.reason)));
}, told = (e, n) => (i, a) => notice(i, e, short(member(a, n))), RUNS = {
	SessionCreated: sessionCreated,
	SessionResumed: sessionResumed,
	SessionClosed: sessionClosed,
	"arcan.session_deleted": sessionDeleted,
	"arcan.provider_set": providerSet,
	BranchCreated: branchCreated,
	BranchMerged: branchMerged,
	"arcan.branch_sealed": branchSealed,
	CheckpointRestored: restored,
	UserMessage: userMessage,
	RunStarted: runStarted,
	"arcan.run_limits": runLimits,
	StepStarted: stepStarted,
	StepFinished: stepFinished,
	Message: message,
	AssistantMessageCommitted: message,
	"arcan.reasoning": reasoning,
	RunFinished: runFinished,
	RunErrored: runErrored,
	ErrorRaised: errorRaised,
	ContextCompacted: compacted,
	"arcan.context_frozen": contextFrozen,
	"arcan.context_noted": contextNoted,
	"arcan.context_window": contextWindow,
	Queued: queued,
	Steered: unqueued,
	QueueDrained: unqueued,
	CircuitBreakerTripped: breakerTripped,
	"arcan.run_paused": paused,
	"arcan.run_continued": continued,
	"arcan.suspended": suspended,
	"arcan.resumed": resumed,
	"arcan.limit_reached": told("arcan.limit_reached", "limit"),
	"arcan.model_notice": told("arcan.model_notice", "reason"),
	"arcan.noted": told("arcan.noted", "text"),
	"arcan.files_placed": told("arcan.files_placed", "")
}, TARGETS = [
	"path",
	"command",
	"url",
	"query",
	"pattern",
	"name",
	"objective",
	"agent",
	"text",
	"key",
	"title",
	"question",
	"peer",
	"channel",
	"hire_id",
	"skill",
	"start",
	"proposal_id"
], FAILED = [
	"error",
	"timeout",
	"failed",
	"refused",
	"expired"
], requested = (e, n) => {
	let i = text$1(n.call_id), a = short(n.tool_name, 100), o = text$1(n.category) === "client" ? "client" : "requested";
	push(e, "calls", {
		id: i,
		tool: a,
		seq: e.seq,
		run: "",
		state: o
	}), entry(e, {
		seq: e.seq,
		branch: e.branch,
		kind: "tool",
		ref: i,
		label: a,
		state: o,
		detail: target$1(n.arguments)
	}), noted(e, i, a, n.arguments), total(e, { calls: 1 });
	let s = openRun(e);
	s && patch(e.runs, s, { calls: capped(s.calls + 1) });
};
function target$1(e) {
	let n = fields(e);
	for (let e of TARGETS) {
		let i = short(member(n, e));
		if (i) return i;
	}
	return "";
}
var evaluated = (e, n) => {
	let i = short(n.tool_name, 100), a = text$1(n.decision) === "allow", o = text$1(n.decision) === "deny", s = last(e.calls, (e) => e.tool === i && e.state === "requested");
	if (o && total(e, { denied: 1 }), !s) return;
	let c = toolEntry(e, s.id);
	c && patch(e.entries, c, {
		rule: short(n.rule_id),
		why: a ? "" : short(n.explanation)
	}), o && patch(e.calls, s, { state: "refused" });
}, approvalRequested = (e, n, i) => {
	let a = text$1(n.approval_id), o = text$1(n.call_id);
	push(e, "approvals", {
		id: a,
		call: o,
		tool: short(n.tool_name, 100),
		risk: text$1(n.risk),
		seq: e.seq,
		asked: i.timestamp,
		capabilities: texts(n.capabilities)
	}), total(e, { approvals: 1 });
	let s = toolEntry(e, o);
	s && patch(e.entries, s, { approval: a }), phase(e, o, "waiting"), mark(e, "approval");
}, approvalResolved = (e, n) => {
	let i = text$1(n.approval_id), a = text$1(n.decision), o = last(e.approvals, (e) => e.id === i);
	o && (e.approvals = e.approvals.filter((e) => e.id !== i), push(e, "decisions", {
		id: i,
		call: o.call,
		tool: o.tool,
		risk: o.risk,
		asked_seq: o.seq,
		seq: e.seq,
		decision: a,
		reason: short(n.reason)
	}), a !== "approved" && total(e, { denied: 1 }), phase(e, o.call, a === "approved" ? "approved" : a === "timeout" ? "expired" : "refused"));
}, started = (e, n, i) => {
	let a = text$1(n.call_id), o = text$1(n.tool_run_id);
	phase(e, a, "running");
	let s = last(e.calls, (e) => e.id === a);
	s && patch(e.calls, s, { run: o }), openSpan(e, o, e.step || e.run, "tool", short(n.tool_name, 100), i.timestamp);
}, completed = (e, n, i) => {
	let a = text$1(n.tool_run_id), o = text$1(n.status), s = text$1(n.call_id) || (last(e.calls, (e) => e.run === a)?.id ?? a);
	answered(e, s, short(n.tool_name, 100), o, n.result), end(e, s, o, count(n.duration_ms)), endSpan(e, a, i.timestamp, o);
}, failed = (e, n, i) => {
	let a = text$1(n.call_id), o = last(e.calls, (e) => e.id === a), s = o && (o.state === "refused" || o.state === "expired") ? o.state : "failed";
	o?.run && endSpan(e, o.run, i.timestamp, s), answered(e, a, "", s, null), end(e, a, s, 0);
};
function end(e, n, i, a) {
	e.calls = e.calls.filter((e) => e.id !== n), e.approvals = e.approvals.filter((e) => e.call !== n);
	let o = toolEntry(e, n);
	if (o && patch(e.entries, o, {
		state: i,
		end: e.seq,
		ms: a
	}), i === "ok") return total(e, { ok: 1 });
	total(e, { failed: 1 });
	let s = openRun(e);
	s && patch(e.runs, s, { failed: capped(s.failed + 1) }), FAILED.includes(i) && mark(e, "failure");
}
function phase(e, n, i) {
	let a = last(e.calls, (e) => e.id === n);
	if (!a) return;
	patch(e.calls, a, { state: i });
	let o = toolEntry(e, n);
	o && patch(e.entries, o, { state: i });
}
var CALLS = {
	ToolCallRequested: requested,
	PolicyEvaluated: evaluated,
	ApprovalRequested: approvalRequested,
	ApprovalResolved: approvalResolved,
	ToolCallStarted: started,
	ToolCallCompleted: completed,
	ToolCallFailed: failed,
	"arcan.call_edited": (e, n) => {
		let i = text$1(n.call_id), a = toolEntry(e, i);
		a && (patch(e.entries, a, { detail: target$1(n.arguments) }), noted(e, i, a.label, n.arguments)), notice(e, "arcan.call_edited", short(n.by));
	},
	"arcan.rule_added": (e, n) => {
		let i = text$1(n.rule_id);
		last(e.rules, (e) => e.id === i) || push(e, "rules", {
			id: i,
			tool: short(n.tool_name, 100),
			patterns: texts(n.patterns),
			by: text$1(n.by),
			seq: e.seq
		}), notice(e, "arcan.rule_added", short(n.tool_name, 100));
	},
	"arcan.rule_revoked": (e, n) => {
		let i = text$1(n.rule_id);
		e.rules = e.rules.filter((e) => e.id !== i), notice(e, "arcan.rule_revoked", short(n.by));
	},
	"arcan.run_in_doubt": (e, n) => {
		phase(e, text$1(n.call_id), "in_doubt"), notice(e, "arcan.run_in_doubt", short(n.explanation)), mark(e, "approval");
	},
	"arcan.doubt_resolved": (e, n) => {
		let i = text$1(n.call_id);
		last(e.calls, (e) => e.id === i)?.state === "in_doubt" && phase(e, i, "approved"), notice(e, "arcan.doubt_resolved", short(n.decision));
	},
	"policy.violation": (e, n) => {
		notice(e, "policy.violation", short(n.subject)), mark(e, "failure");
	}
}, JUDGES = {
	"eval.InlineCompleted": (e, n) => {
		push(e, "scores", {
			seq: e.seq,
			evaluator: short(n.evaluator, 100),
			value: fraction(n.score),
			label: text$1(n.label),
			layer: text$1(n.layer),
			timing: "inline",
			run: text$1(n.run_id),
			why: short(n.explanation, 600)
		}), push(e, "judge", {
			seq: e.seq,
			type: "eval.InlineCompleted",
			detail: short(n.explanation)
		});
	},
	"eval.AsyncCompleted": (e, n) => {
		for (let i of items(n.scores).slice(0, 20)) {
			let a = fields(i);
			push(e, "scores", {
				seq: e.seq,
				evaluator: short(a.evaluator, 100),
				value: fraction(a.value),
				label: text$1(a.label),
				layer: text$1(a.layer),
				timing: "async",
				run: text$1(n.run_id),
				why: short(a.explanation, 600) || short(n.explanation, 600)
			});
		}
		push(e, "judge", {
			seq: e.seq,
			type: "eval.AsyncCompleted",
			detail: short(n.evaluator)
		});
	},
	"eval.QualityChanged": (e, n) => {
		e.quality = {
			seq: e.seq,
			value: fraction(n.aggregate_quality),
			trend: fraction(n.trend),
			inline: count(n.inline_count),
			judged: count(n.async_count)
		}, push(e, "judge", {
			seq: e.seq,
			type: "eval.QualityChanged",
			detail: ""
		});
	},
	"demo.opened": (e, n) => {
		e.demo = {
			seq: e.seq,
			slug: short(n.slug, 100),
			how: text$1(n.how),
			simulated: texts(n.simulated).map((e) => short(e))
		};
	},
	"demo.branch_offered": (e, n) => {
		let i = short(n.title, 200);
		push(e, "offers", {
			seq: e.seq,
			title: i,
			reason: short(n.reason, 600),
			before: count(n.before_sequence),
			message: short(n.message, 2e3)
		}), notice(e, "demo.branch_offered", i), mark(e, "fork");
	}
}, STATES = {
	"finance.payment_requested": "asked",
	"finance.payment_reserved": "reserved",
	"finance.payment_authorized": "signed",
	"finance.payment_signed": "signed",
	"finance.payment_attempted": "sent",
	"finance.payment_submitted": "sent",
	"finance.payment_claimed": "claimed",
	"finance.payment_cancelling": "cancelling",
	"finance.payment_ambiguous": "unknown",
	"finance.payment_settled": "settled",
	"finance.payment_failed": "failed",
	"finance.payment_released": "released",
	"finance.payment_declined": "declined",
	"finance.revenue_received": "earned"
}, FINAL = [
	"settled",
	"failed",
	"released",
	"declined",
	"earned"
];
function money(e, n, i) {
	if (!Object.hasOwn(STATES, n)) return;
	let a = STATES[n], o = text$1(i.payment_id) || text$1(i.purchase_id) || text$1(i.tx_hash), s = o ? last(e.payments, (e) => e.id === o) : void 0, c = s?.state ?? "";
	FINAL.includes(c) && !FINAL.includes(a) && (a = c), s || (s = {
		id: o,
		state: a,
		seq: e.seq,
		time: e.time,
		amount_micro: 0,
		payee: "",
		resource: "",
		network: "",
		tx: "",
		reason: "",
		session: ""
	}, push(e, "payments", s), entry(e, {
		seq: e.seq,
		branch: e.branch,
		kind: "payment",
		ref: o
	})), s = patch(e.payments, s, {
		state: a,
		seq: e.seq,
		time: e.time,
		amount_micro: count(i.amount_micro) || count(i.amount_micro_credits) || s.amount_micro,
		payee: text$1(i.payee) || text$1(i.recipient_address) || s.payee,
		resource: short(i.resource_url, 300) || s.resource,
		network: text$1(i.network) || text$1(i.chain) || s.network,
		tx: text$1(i.tx_hash) || s.tx,
		reason: short(i.reason, 300),
		session: text$1(i.session_id) || s.session
	}), mark(e, "payment"), a !== c && (a === "settled" ? total(e, {
		spent_micro: s.amount_micro,
		payments: 1
	}) : a === "earned" && total(e, { earned_micro: s.amount_micro }));
}
// src/fold/sides.ts
var fileWrite = (e, n) => {
	let i = pathOf(n.path), a = text$1(n.blob_hash), o = count(n.size_bytes), s = last(e.files, (e) => e.path === i);
	s && a && s.hash === a && s.op !== "delete" ? patch(e.files, s, {
		op: "write",
		size: o,
		seq: e.seq,
		branch: e.branch
	}) : touch(e, i, "write", a, o);
}, fileDelete = (e, n) => touch(e, pathOf(n.path), "delete", "", -1);
function pathOf(e) {
	let n = text$1(e);
	return n.startsWith("/") ? n.slice(1) : n;
}
var fileRename = (e, n) => {
	let i = pathOf(n.old_path), a = last(e.files, (e) => e.path === i);
	e.files = e.files.filter((e) => e.path !== i), touch(e, pathOf(n.new_path), "rename", a?.hash ?? "", a?.size ?? -1, i);
}, fileMutated = (e, n) => {
	let i = pathOf(n.path), a = text$1(n.content_hash);
	if (total(e, { files: 1 }), a === "deleted") return touch(e, i, "delete", "", -1);
	let o = last(e.files, (e) => e.path === i);
	o && o.hash === a && o.op !== "delete" || touch(e, i, "change", a, -1);
};
function touch(e, n, i, a, o, s = "") {
	let c = last(e.files, (e) => e.path === n);
	e.files = e.files.filter((e) => e.path !== n), push(e, "files", {
		path: n,
		op: i,
		seq: e.seq,
		branch: e.branch,
		time: e.time,
		size: o,
		hash: a,
		was: s,
		count: c ? capped(c.count + 1) : 1
	});
}
var stateEstimated = (e, n) => {
	let i = fields(n.state), a = fields(i.budget), o = {
		seq: e.seq,
		progress: fraction(i.progress),
		uncertainty: fraction(i.uncertainty),
		risk: text$1(i.risk_level),
		error_streak: count(i.error_streak),
		context_pressure: fraction(i.context_pressure),
		side_effect_pressure: fraction(i.side_effect_pressure),
		human_dependency: fraction(i.human_dependency),
		tokens_remaining: count(a.tokens_remaining),
		time_remaining_ms: count(a.time_remaining_ms),
		tool_calls_remaining: count(a.tool_calls_remaining),
		error_budget_remaining: count(a.error_budget_remaining)
	};
	e.vector = o, e.mode = text$1(n.mode);
	let { seq: s, progress: c, uncertainty: l, context_pressure: u, side_effect_pressure: d, error_streak: f } = o;
	push(e, "samples", {
		seq: s,
		progress: c,
		uncertainty: l,
		context_pressure: u,
		side_effect_pressure: d,
		error_streak: f
	});
}, modeChanged = (e, n) => {
	let i = text$1(n.to);
	push(e, "modes", {
		seq: e.seq,
		was: text$1(n.from),
		now: i,
		reason: short(n.reason)
	}), e.mode = i;
}, gatesUpdated = (e, n) => {
	let i = fields(n.gates);
	e.gates = {
		seq: e.seq,
		side_effects: i.allow_side_effects === !0,
		approval_for_risk: text$1(i.require_approval_for_risk),
		tool_calls: count(i.max_tool_calls_per_tick),
		mutations: count(i.max_file_mutations_per_tick),
		network: i.allow_network === !0,
		shell: i.allow_shell === !0,
		reason: short(n.reason)
	}, ruling(e, "GatesUpdated", short(n.reason));
}, regulated = (e, n) => {
	n.gates_lifted === !0 && (e.gates = null), ruling(e, "arcan.regulated", short(n.reason));
}, remembered = (e, n) => (i, a) => push(i, "memory", {
	seq: i.seq,
	branch: i.branch,
	what: e,
	id: short(member(a, n)),
	scope: text$1(a.scope),
	path: short(a.path)
}), peerStarted = (e, n) => push(e, "peers", {
	call: text$1(n.call_id),
	agent: text$1(n.agent),
	session: text$1(n.session_id),
	state: "working",
	seq: e.seq,
	detail: short(n.objective)
}), peerMoved = (e) => (n, i) => {
	let a = text$1(i.call_id), o = last(n.peers, (e) => e.call === a);
	o && patch(n.peers, o, {
		state: short(member(i, e)),
		seq: n.seq
	});
};
function family$1(e, n, i) {
	let a = short(i.reason) || short(i.explanation);
	n.startsWith("eval.") ? push(e, "judge", {
		seq: e.seq,
		type: n,
		detail: a
	}) : n.startsWith("anima.") ? push(e, "identity", {
		seq: e.seq,
		type: n,
		detail: a
	}) : n.startsWith("autonomic.") ? ruling(e, n, a) : n.startsWith("skill.") && notice(e, n, short(i.name));
}
var SIDES = {
	FileWrite: fileWrite,
	FileDelete: fileDelete,
	FileRename: fileRename,
	FileMutated: fileMutated,
	StateEstimated: stateEstimated,
	ModeChanged: modeChanged,
	GatesUpdated: gatesUpdated,
	"arcan.regulated": regulated,
	MemoryProposed: remembered("proposed", "proposal_id"),
	MemoryCommitted: remembered("committed", "memory_id"),
	MemoryTombstoned: remembered("tombstoned", "memory_id"),
	ObservationAppended: remembered("observed", "observation_ref"),
	ReflectionCompacted: remembered("reflected", "summary_ref"),
	KnowledgeSearched: remembered("searched", "query"),
	KnowledgeRetrieved: remembered("retrieved", "source"),
	KnowledgeEvaluated: remembered("evaluated", ""),
	"arcan.subagent_started": peerStarted,
	"arcan.subagent_waiting": peerMoved("status"),
	"arcan.subagent_finished": peerMoved("reason")
}, peersFound = (e, n) => {
	for (let i of items(n.peers).slice(0, 50)) {
		let n = fields(i), a = met(e, n);
		a && patch(e.contacts, a, {
			skills: texts(n.skills).map((e) => short(e, 100)),
			price_micro: known(n.price_micro),
			trust_micro: known(n.trust_micro),
			...Object.hasOwn(n, "online") ? { presence: n.online === !0 ? "online" : "offline" } : {}
		});
	}
}, channelsSeen = (e, n) => {
	for (let i of items(n.channels).slice(0, 100)) {
		let a = fields(i);
		inChannel(e, count(a.id), n, short(a.name, 100), text$1(a.type));
	}
}, channelCreated = (e, n) => inChannel(e, count(n.channel_id), n, short(n.name, 100)), messageSent = (e, n) => {
	let i = short(n.channel, 100), a = count(n.channel_id);
	inChannel(e, a, n, i), say(e, "message", n, a, i, number(n.message_id), n.text);
}, messagesRead = (e, n) => {
	let i = short(n.channel, 100), a = count(n.channel_id);
	inChannel(e, a, n, i), heard(e, "message", n, a, i);
}, dmSent = (e, n) => {
	let i = fields(n.peer);
	met(e, i), say(e, "dm", n, 0, short(i.name, 100), number(n.message_id), n.text);
}, dmsRead = (e, n) => {
	let i = fields(n.peer);
	met(e, i), heard(e, "dm", n, 0, short(i.name, 100));
}, logged = (e, n) => say(e, "log", n, count(n.channel_id), "", number(n.message_id), n.kind), asked = (e, n) => {
	let i = fields(n.peer);
	met(e, i);
	let a = short(i.name, 100), o = text$1(n.ask_id);
	say(e, "question", n, 0, a, o, n.question), text$1(n.answer) && say(e, "answer", n, 0, a, o, n.answer, a);
}, hired = (e, n) => {
	let i = fields(n.peer);
	met(e, i), hire(e, n, i);
}, hireChanged = (e, n) => {
	let i = fields(n.peer);
	met(e, i);
	let a = hire(e, n, i);
	patch(e.hires, a, {
		paid_micro: count(n.paid_micro),
		refunded_micro: count(n.refunded_micro),
		reason: short(n.reason, 500) || a.reason,
		result: short(n.result, 500) || a.result
	});
}, peerHired = (e, n) => {
	let i = short(n.peer, 100);
	met(e, {
		name: i,
		is_agent: !0
	}), push(e, "hires", {
		seq: e.seq,
		id: `demo/${e.seq}`,
		role: "customer",
		peer: i,
		name: i,
		title: short(n.task, 200),
		state: text$1(n.state),
		price_micro: count(n.price_micro),
		paid_micro: count(n.price_micro),
		refunded_micro: 0,
		escrow: "none",
		reason: "",
		result: short(n.delivered, 500),
		stars: 0
	});
}, rated = (e, n) => {
	let i = met(e, fields(n.peer)), a = count(n.stars), o = known(n.trust_micro);
	i && patch(e.contacts, i, {
		stars: a,
		trust_micro: o < 0 ? i.trust_micro : o
	});
	let s = last(e.hires, (e) => e.id === text$1(n.hire_id));
	s && patch(e.hires, s, { stars: a });
};
function met(e, n) {
	let i = short(n.identity, 100) || short(n.name, 100);
	if (!i) return;
	let a = last(e.contacts, (e) => e.id === i), o = short(n.name, 100), s = n.is_agent === !0;
	if (a) return patch(e.contacts, a, {
		seq: e.seq,
		name: o || a.name,
		agent: s
	});
	let c = {
		seq: e.seq,
		id: i,
		name: o,
		agent: s,
		skills: [],
		price_micro: -1,
		trust_micro: -1,
		presence: "",
		stars: 0
	};
	return push(e, "contacts", c), c;
}
function inChannel(e, n, i, a, o = "") {
	let s = last(e.channels, (e) => e.id === n);
	s ? patch(e.channels, s, {
		seq: e.seq,
		name: a || s.name,
		type: o || s.type
	}) : push(e, "channels", {
		seq: e.seq,
		id: n,
		space: count(i.space_id),
		name: a,
		type: o
	});
}
function say(e, n, i, a, o, s, c, l = "") {
	last(e.talk, (e) => e.kind === n && e.id === s && e.channel === a) || push(e, "talk", {
		seq: e.seq,
		kind: n,
		id: s,
		channel: a,
		place: o,
		who: l,
		mine: !l,
		text: short(c, 500),
		at_us: count(i.at_us)
	});
}
function heard(e, n, i, a, o) {
	for (let s of items(i.last).slice(0, 5)) {
		let i = fields(s);
		say(e, n, i, a, o, number(i.message_id), i.text, short(fields(i.from).name, 100) || "?");
	}
}
function hire(e, n, i) {
	let a = text$1(n.hire_id), o = last(e.hires, (e) => e.id === a), s = {
		seq: e.seq,
		state: text$1(n.state),
		escrow: text$1(n.escrow)
	};
	if (o) return patch(e.hires, o, s);
	let c = {
		id: a,
		role: text$1(n.role),
		peer: short(i.identity, 100),
		name: short(i.name, 100),
		title: short(n.title, 200),
		price_micro: count(n.price_micro),
		paid_micro: 0,
		refunded_micro: 0,
		reason: "",
		result: "",
		stars: 0,
		...s
	};
	return push(e, "hires", c), c;
}
var number = (e) => String(count(e)), SPACES = {
	"spaces.peers_found": peersFound,
	"spaces.channels_seen": channelsSeen,
	"spaces.channel_created": channelCreated,
	"spaces.message_sent": messageSent,
	"spaces.messages_read": messagesRead,
	"spaces.dm_sent": dmSent,
	"spaces.dms_read": dmsRead,
	"spaces.logged": logged,
	"spaces.asked": asked,
	"spaces.hired": hired,
	"spaces.hire_changed": hireChanged,
	"spaces.rated": rated,
	"demo.peers_found": peersFound,
	"demo.peer_hired": peerHired
}, MOST_KINDS = 300, STEPS = new Map(Object.entries({
	...RUNS,
	...CALLS,
	...SIDES,
	...JUDGES,
	...SPACES
}));
function advance(e, n) {
	if (!(n.sequence > 0)) return;
	n.branch_id !== e.branch && enterBranch(e, n), e.seq = n.sequence, e.time = n.timestamp, e.events = capped(e.events + 1);
	let i = fields(n.kind), a = text$1(i.type) || "Unknown";
	a === "Custom" && (a = text$1(i.event_type) || "Custom", i = fields(i.data)), a = short(a, 100), countKind(e, a), e.session.id || (e.session = {
		...e.session,
		id: text$1(n.session_id),
		agent: text$1(n.agent_id)
	});
	let o = STEPS.get(a);
	o ? o(e, i, n) : a.startsWith("finance.") ? money(e, a, i) : family$1(e, a, i), e.status = status(e);
}
function countKind(e, n) {
	let i = n;
	!Object.hasOwn(e.kinds, n) && Object.keys(e.kinds).length >= MOST_KINDS && (i = "other");
	let a = Object.hasOwn(e.kinds, i) ? e.kinds[i] : 0;
	Object.defineProperty(e.kinds, i, {
		value: capped(a + 1),
		enumerable: !0,
		configurable: !0,
		writable: !0
	});
}
function enterBranch(e, n) {
	e.branch = text$1(n.branch_id), e.events !== 0 && (endOpenWork(e, "forked"), Object.assign(e, {
		approvals: [],
		queue: [],
		runs: [],
		spans: [],
		decisions: [],
		samples: [],
		modes: [],
		rulings: [],
		judge: [],
		identity: [],
		branches: [],
		marks: [],
		peers: [],
		scores: [],
		quality: null,
		contacts: [],
		channels: [],
		talk: [],
		hires: [],
		offers: []
	}), e.session = {
		...e.session,
		merged_into: ""
	});
}
function status(e) {
	if (e.session.closed) return "closed";
	if (!e.run) return "idle";
	let n = !1;
	for (let i of e.calls) {
		if (i.state === "in_doubt") return "in_doubt";
		n ||= i.state === "waiting" || i.state === "client";
	}
	return n ? "waiting" : e.held || e.suspended ? "paused" : "running";
}
function copy(e) {
	let n = { ...e };
	for (let e of Object.keys(n)) {
		let i = n[e];
		Array.isArray(i) && Object.assign(n, { [e]: i.slice() });
	}
	return n.kinds = { ...e.kinds }, n;
}
function canonical(e) {
	if (Array.isArray(e)) return `[${e.map(canonical).join(",")}]`;
	if (typeof e == "object" && e) {
		let n = e;
		return `{${Object.keys(n).sort().map((e) => `${JSON.stringify(e)}:${canonical(n[e])}`).join(",")}}`;
	}
	return JSON.stringify(e);
}
async function digest(e) {
	let n = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(canonical(e)));
	return Array.from(new Uint8Array(n), (e) => e.toString(16).padStart(2, "0")).join("");
}
// src/app/api.ts
var ApiError = class extends Error {
	status;
	code;
	nextStep;
	constructor(e, n, i, a = "") {
		super(i), this.status = e, this.code = n, this.nextStep = a;
	}
};
async function problem(e) {
	try {
		let n = await e.json();
		return new ApiError(e.status, String(n.code ?? ""), String(n.detail ?? n.title ?? e.statusText), String(n.next_step ?? ""));
	} catch {
		return new ApiError(e.status, "", e.statusText || `HTTP ${e.status}`);
	}
}
async function ask(e, n, i, a = {}) {
	let o;
	try {
		o = await fetch(n, {
			method: e,
			headers: i === void 0 ? a : {
				"content-type": "application/json",
				...a
			},
			...i === void 0 ? {} : { body: JSON.stringify(i) }
		});
	} catch {
		throw new ApiError(0, "unreachable", "The daemon does not answer.");
	}
	if (!o.ok) throw await problem(o);
	return o;
}
async function get(e) {
	return (await ask("GET", e)).json();
}
async function send(e, n, i = {}, a = {}) {
	let o = await ask(e, n, i, a);
	return o.status === 204 ? null : o.json();
}
async function text(e) {
	return (await ask("GET", e)).text();
}
function at(e, n, i = {}) {
	let a = new URLSearchParams(Object.entries(i).map(([e, n]) => [e, String(n)])).toString();
	return `/sessions/${encodeURIComponent(e)}${n}${a ? `?${a}` : ""}`;
}
// src/app/route.svelte.ts
var offline = document.getElementById("recording") !== null, NAMES = [
	"branch",
	"at",
	"mid",
	"right",
	"file",
	"event",
	"span",
	"pane",
	"q",
	"kind",
	"actor"
], route = new class {
	#e = state("");
	get session() {
		return get$1(this.#e);
	}
	set session(e) {
		set(this.#e, e, !0);
	}
	#t = state(proxy({}));
	get values() {
		return get$1(this.#t);
	}
	set values(e) {
		set(this.#t, e, !0);
	}
	constructor() {
		this.read(), addEventListener("popstate", () => this.read()), addEventListener("hashchange", () => this.read());
	}
	read() {
		let e = /\/workspace\/([^/]+)$/.exec(location.pathname);
		this.session = e?.[1] ? decodeURIComponent(e[1]) : "";
		let n = new URLSearchParams(offline ? location.hash.slice(1) : location.search), i = {};
		for (let e of NAMES) {
			let a = n.get(e);
			a && (i[e] = a);
		}
		this.values = i;
	}
	get(e, n = "") {
		return this.values[e] ?? n;
	}
	set(e, n = !1) {
		let i = { ...this.values };
		for (let n of NAMES) {
			if (!(n in e)) continue;
			let a = e[n];
			a == null || a === "" ? delete i[n] : i[n] = String(a);
		}
		this.values = i;
		let a = new URLSearchParams(i).toString(), o = offline ? `#${a}` : location.pathname + (a ? `?${a}` : "");
		n ? history.replaceState(null, "", o) : history.pushState(null, "", o);
	}
	go(e, n = {}) {
		let i = new URLSearchParams(n).toString();
		history.pushState(null, "", (e ? `/workspace/${encodeURIComponent(e)}` : "/workspace") + (i ? `?${i}` : "")), this.read();
	}
}(), SLOTS = 4, POLL_MS = 2e3, Stream = class {
	sink;
	source = null;
	release = null;
	timer = 0;
	stopped = !1;
	attempt = 0;
	from = -1;
	constructor(e) {
		this.sink = e, document.addEventListener("visibilitychange", this.visibility), this.begin();
	}
	close() {
		this.stopped = !0, document.removeEventListener("visibilitychange", this.visibility), this.rest("closed");
	}
	retry() {
		this.rest("connecting"), this.begin();
	}
	visibility = () => {
		document.hidden ? this.rest("resting") : !this.source && !this.stopped && this.begin();
	};
	rest(e) {
		clearTimeout(this.timer), this.source?.close(), this.source = null, this.release?.(), this.release = null, this.sink.connection(e, Date.now());
	}
	async begin() {
		clearTimeout(this.timer), this.stopped || document.hidden || (await this.slot() ? this.listen() : this.poll());
	}
	async slot() {
		if (this.release || !navigator.locks) return !0;
		for (let e = 0; e < SLOTS; e++) if (await new Promise((n) => {
			navigator.locks.request(`life-stream-${e}`, { ifAvailable: !0 }, (e) => e ? new Promise((e) => {
				this.release = e, n(!0);
			}) : n(!1)).catch(() => n(!0));
		})) return !0;
		return !1;
	}
	listen() {
		if (this.stopped || this.source) return;
		let { session: e, branch: n } = this.sink;
		this.sink.connection("connecting", Date.now()), this.from = this.sink.taken();
		let i = new EventSource(at(e, "/events/stream", {
			branch: n,
			cursor: this.sink.taken()
		}));
		this.source = i, i.onopen = () => this.sink.connection("open", Date.now()), i.onmessage = (e) => {
			let n = parsed(e.data);
			n && (n.sequence === 0 && n.kind.type === "Custom" ? n.kind.event_type === "arcan.stream_ready" && this.sink.ready() : this.sink.take(n));
		}, i.onerror = () => {
			this.source === i && (i.close(), this.source = null, this.sink.connection("lost", Date.now()), this.later());
		};
	}
	later() {
		this.attempt = this.sink.taken() > this.from ? 0 : this.attempt + 1;
		let e = Math.min(1e4, 20 * 3 ** Math.min(this.attempt, 6)) * (.75 + Math.random() / 2);
		clearTimeout(this.timer), this.timer = window.setTimeout(() => void this.begin(), e);
	}
	async poll() {
		let { session: e, branch: n } = this.sink;
		try {
			let i = await get(at(e, "/events", {
				branch: n,
				from_sequence: this.sink.taken() + 1,
				limit: 500
			}));
			this.attempt = 0, this.sink.connection("polling", Date.now()), i.events.forEach((e) => this.sink.take(e)), i.events.length < 500 && this.sink.ready(), clearTimeout(this.timer), this.timer = window.setTimeout(() => void this.begin(), i.events.length === 500 ? 0 : POLL_MS);
		} catch {
			this.sink.connection("lost", Date.now()), this.later();
		}
	}
};
function parsed(e) {
	try {
		return JSON.parse(e);
	} catch {
		return null;
	}
}
// src/app/session.svelte.ts
var EVERY = 1e3, KEEP = 100, MOST_BLOCKS = 24, REST_MS = 120, SessionView = class {
	id;
	branch;
	#e = state(emptyState());
	get state() {
		return get$1(this.#e);
	}
	set state(e) {
		set(this.#e, e);
	}
	#t = state(emptyState());
	get settled() {
		return get$1(this.#t);
	}
	set settled(e) {
		set(this.#t, e);
	}
	#n = state(0);
	get head() {
		return get$1(this.#n);
	}
	set head(e) {
		set(this.#n, e, !0);
	}
	#r = state(null);
	get position() {
		return get$1(this.#r);
	}
	set position(e) {
		set(this.#r, e, !0);
	}
	#i = state(!1);
	get playing() {
		return get$1(this.#i);
	}
	set playing(e) {
		set(this.#i, e, !0);
	}
	#a = state(1);
	get speed() {
		return get$1(this.#a);
	}
	set speed(e) {
		set(this.#a, e, !0);
	}
	#o = state("connecting");
	get connection() {
		return get$1(this.#o);
	}
	set connection(e) {
		set(this.#o, e, !0);
	}
	#s = state(0);
	get connectionSince() {
		return get$1(this.#s);
	}
	set connectionSince(e) {
		set(this.#s, e, !0);
	}
	#c = state(null);
	get writing() {
		return get$1(this.#c);
	}
	set writing(e) {
		set(this.#c, e);
	}
	#l = state(null);
	get error() {
		return get$1(this.#l);
	}
	set error(e) {
		set(this.#l, e);
	}
	#u = state(!1);
	get opened() {
		return get$1(this.#u);
	}
	set opened(e) {
		set(this.#u, e, !0);
	}
	#d = state(!1);
	get ready() {
		return get$1(this.#d);
	}
	set ready(e) {
		set(this.#d, e, !0);
	}
	#f = state(null);
	get seeking() {
		return get$1(this.#f);
	}
	set seeking(e) {
		set(this.#f, e, !0);
	}
	#p = state(0);
	get arrived() {
		return get$1(this.#p);
	}
	set arrived(e) {
		set(this.#p, e, !0);
	}
	#m = state(0);
	get newSince() {
		return get$1(this.#m);
	}
	set newSince(e) {
		set(this.#m, e, !0);
	}
	#h = state([]);
	get marks() {
		return get$1(this.#h);
	}
	set marks(e) {
		set(this.#h, e);
	}
	live = emptyState();
	blocks = new Map();
	asked = new Map();
	failed = new Map();
	stream = null;
	frame = 0;
	timer = 0;
	wanted = 0;
	closed = !1;
	settling = 0;
	shownAt = -120;
	timings = {
		openedMs: 0,
		worstSeekMs: 0
	};
	constructor(e, n) {
		this.id = e, this.branch = n;
	}
	async open(e) {
		let n = performance.now();
		try {
			let n = offline ? recorded() : await get(at(this.id, "/workspace/block", { branch: this.branch })), i = this.keep(n);
			this.live = this.stateIn(i, n.head), this.head = this.live.seq, this.marks = this.live.marks.slice(), this.opened = !0, e !== null && e < this.head ? await this.seek(e) : this.show(copy(this.live));
		} catch (e) {
			this.error = e instanceof ApiError ? e : new ApiError(0, "page", String(e));
			return;
		}
		this.timings.openedMs = performance.now() - n, offline ? this.connection = "closed" : this.closed || (this.stream = new Stream(this.sink()));
	}
	close() {
		this.closed = !0, this.stop(), clearTimeout(this.settling), this.stream?.close(), cancelAnimationFrame(this.frame);
	}
	retry() {
		this.stream?.retry();
	}
	show(e, n = !1) {
		this.state = e, clearTimeout(this.settling);
		let i = performance.now(), a = n && i - this.shownAt < REST_MS;
		this.shownAt = i, a ? this.settling = window.setTimeout(() => this.settled = this.state, REST_MS) : this.settled = e;
	}
	sink() {
		return {
			session: this.id,
			branch: this.branch,
			taken: () => this.live.seq,
			take: (e) => this.take(e),
			connection: (e, n) => {
				e !== this.connection && (this.connectionSince = n), (e === "connecting" || e === "lost") && (this.ready = !1), this.connection = e;
			},
			ready: () => this.ready = !0
		};
	}
	take(e) {
		if (e.branch_id !== this.branch) return;
		if (e.sequence === 0) {
			this.write(e);
			return;
		}
		if (e.sequence <= this.live.seq) return;
		if (e.sequence !== this.live.seq + 1) {
			this.stream?.retry();
			return;
		}
		this.lastBlock().events.push(e), advance(this.live, e);
		let n = e.kind.type;
		this.pending && (this.pending.id === e.event_id || n === "StepFinished" || n === "RunFinished") && (this.pending = null), this.publish();
	}
	write(e) {
		let n = e.causation_id ?? "", i = typeof e.kind.delta == "string" ? e.kind.delta : "", a = typeof e.kind.index == "number" ? e.kind.index : null, o = this.pending?.id === n ? this.pending.text : "";
		this.pending = {
			id: n,
			text: (a === 0 ? "" : o) + i
		}, this.publish();
	}
	pending = null;
	lastBlock() {
		let e = Math.floor(this.live.seq / EVERY) * EVERY, n = `${this.branch}/${e}`, i = this.blocks.get(n);
		return i || (i = {
			base: e,
			state: copy(this.live),
			events: [],
			kept: []
		}, this.blocks.set(n, i)), i;
	}
	publish() {
		if (this.frame) return;
		let e = () => {
			this.frame = 0;
			let e = this.live.seq - this.head;
			this.head = this.live.seq, this.writing = this.pending, this.position === null ? e && this.show(copy(this.live)) : this.newSince += e, e && (this.marks = this.live.marks.slice());
		};
		this.frame = document.hidden ? window.setTimeout(e, 200) : requestAnimationFrame(e);
	}
	keep(e, n = this.branch) {
		let i = `${n}/${e.base}`, a = this.blocks.get(i);
		if (a && a.events.length >= e.events.length) return a;
		let o = {
			base: e.base,
			state: e.state,
			events: e.events,
			kept: []
		};
		this.blocks.set(i, o);
		let s = Math.floor(Math.max(0, this.live.seq - 1) / EVERY) * EVERY;
		for (let e of this.blocks.keys()) {
			if (this.blocks.size <= MOST_BLOCKS) break;
			e !== i && e !== `${this.branch}/${s}` && !offline && this.blocks.delete(e);
		}
		return o;
	}
	baseOf(e) {
		return offline ? recorded().base : Math.floor(Math.max(0, e - 1) / EVERY) * EVERY;
	}
	load(e, n) {
		let i = `${n}/${this.baseOf(e)}`, a = this.blocks.get(i);
		if (a && a.base + a.events.length >= e) return Promise.resolve(a);
		if (offline || Date.now() - (this.failed.get(i) ?? 0) < 5e3) return Promise.resolve(null);
		let o = this.asked.get(i);
		return o || (o = get(at(this.id, "/workspace/block", {
			branch: n,
			at: e
		})).then((e) => {
			let i = this.keep(e, n);
			return this.arrived += 1, i;
		}).catch(() => (this.failed.set(i, Date.now()), null)).finally(() => this.asked.delete(i)), this.asked.set(i, o)), o;
	}
	stateIn(e, n) {
		let i = Math.max(0, Math.min(n - e.base, e.events.length)), a = Math.min(Math.floor(i / KEEP), e.kept.length), o = copy(a === 0 ? e.state : e.kept[a - 1]);
		for (let n = a * KEEP; n < i; n++) advance(o, e.events[n]), (n + 1) % KEEP === 0 && e.kept.length === (n + 1) / KEEP - 1 && e.kept.push(copy(o));
		return o;
	}
	record(e, n = this.branch) {
		if (this.arrived, e < 1) return;
		let i = this.blocks.get(`${n}/${this.baseOf(e)}`), a = i?.events[e - i.base - 1];
		return !a && !(n === this.branch && e > this.head) && queueMicrotask(() => void this.load(e, n)), a;
	}
	async fetched(e, n = this.branch) {
		e > 0 && await this.load(e, n);
	}
	loaded(e, n) {
		let i = [];
		for (let a = e; a <= n; a++) {
			let e = this.blocks.get(`${this.branch}/${this.baseOf(a)}`), n = e?.events[a - e.base - 1];
			n && i.push(n);
		}
		return i;
	}
	get shown() {
		return this.position ?? this.head;
	}
	get mode() {
		return this.position === null ? "live" : this.playing ? "replay" : "paused";
	}
	async seek(e) {
		let n = Math.max(0, Math.min(Math.round(e), this.head)), i = ++this.wanted;
		this.position = n;
		let a = performance.now(), o = `${this.branch}/${this.baseOf(n)}`, s = this.blocks.get(o) ?? null;
		if (!s || s.base + s.events.length < n) {
			if (this.seeking = n, s = await this.load(n, this.branch), i !== this.wanted || (this.seeking = null, !s)) return;
			let e = performance.now();
			this.show(this.stateIn(s, n), !0), this.timings.worstSeekMs = Math.max(this.timings.worstSeekMs, performance.now() - e);
		} else this.seeking = null, this.show(this.stateIn(s, n), !0), this.timings.worstSeekMs = Math.max(this.timings.worstSeekMs, performance.now() - a);
	}
	follow() {
		this.stop(), this.wanted += 1, this.seeking = null, this.position = null, this.newSince = 0, this.show(copy(this.live));
	}
	play() {
		if (this.playing) return this.stop();
		this.playing = !0, this.shown >= this.head ? this.seek(0) : this.position = this.shown, this.tick();
	}
	stop() {
		this.playing = !1, clearTimeout(this.timer);
	}
	tick() {
		if (clearTimeout(this.timer), !this.playing) return;
		let e = this.shown;
		if (e >= this.head) return this.stop();
		let n = Math.min(this.gap(e), 2e3) / this.speed;
		this.timer = window.setTimeout(() => {
			this.seek(e + 1).then(() => this.tick());
		}, Math.max(16, n));
	}
	gap(e) {
		let n = this.record(e)?.timestamp, i = this.record(e + 1)?.timestamp;
		return n && i ? Math.max(0, Date.parse(i) - Date.parse(n)) : 100;
	}
	digest() {
		return digest(this.state);
	}
}, recording = null;
function recorded() {
	return recording ??= JSON.parse(document.getElementById("recording")?.textContent ?? "{}"), recording;
}
// src/app/prefs.svelte.ts
var KEY = "life.prefs.1", DEFAULTS = {
	theme: "system",
	density: "calm",
	motion: "system",
	size: "normal",
	language: "",
	left: 400,
	right: 460,
	welcomed: !1
};
function stored() {
	try {
		return JSON.parse(localStorage.getItem(KEY) ?? "{}");
	} catch {
		return {};
	}
}
var prefs = proxy({
	...DEFAULTS,
	...offline ? {} : stored()
});
function prefer(e) {
	Object.assign(prefs, e);
	try {
		localStorage.setItem(KEY, JSON.stringify(prefs));
	} catch {}
}
function language() {
	return prefs.language || (navigator.language.startsWith("es") ? "es" : "en");
}
function calmMotion() {
	return prefs.motion === "reduced" || matchMedia("(prefers-reduced-motion: reduce)").matches;
}
function apply() {
	let e = document.documentElement;
	e.lang = language(), e.dataset.theme = prefs.theme, e.dataset.density = prefs.density, e.dataset.size = prefs.size, e.dataset.motion = calmMotion() ? "reduced" : "full";
}
var ui = new class {
	#e = state("");
	get overlay() {
		return get$1(this.#e);
	}
	set overlay(e) {
		set(this.#e, e, !0);
	}
	#t = state(null);
	get problem() {
		return get$1(this.#t);
	}
	set problem(e) {
		set(this.#t, e);
	}
	#n = state("");
	get said() {
		return get$1(this.#n);
	}
	set said(e) {
		set(this.#n, e, !0);
	}
	#r = state(null);
	get about() {
		return get$1(this.#r);
	}
	set about(e) {
		set(this.#r, e);
	}
	#i = state(0);
	get aboutRead() {
		return get$1(this.#i);
	}
	set aboutRead(e) {
		set(this.#i, e, !0);
	}
	#a = state([]);
	get waiting() {
		return get$1(this.#a);
	}
	set waiting(e) {
		set(this.#a, e);
	}
	#o = state([]);
	get payments() {
		return get$1(this.#o);
	}
	set payments(e) {
		set(this.#o, e);
	}
	#s = state(0);
	get forkAt() {
		return get$1(this.#s);
	}
	set forkAt(e) {
		set(this.#s, e, !0);
	}
	#c = state("");
	get forkMessage() {
		return get$1(this.#c);
	}
	set forkMessage(e) {
		set(this.#c, e, !0);
	}
	async attempt(e) {
		try {
			return await e(), this.problem = null, !0;
		} catch (e) {
			return this.problem = e instanceof ApiError ? e : new ApiError(0, "page", String(e)), !1;
		}
	}
	async readAbout() {
		offline || await get("/workspace/about").then((e) => {
			this.about = e, this.aboutRead = Date.now();
		}, () => void 0);
	}
	async readInbox() {
		if (offline) return;
		let [e, n] = await Promise.allSettled([get("/approvals"), get("/v1/approvals")]);
		e.status === "fulfilled" && (this.waiting = e.value), n.status === "fulfilled" && (this.payments = Array.isArray(n.value) ? n.value : n.value.approvals);
	}
	say(e) {
		this.said = e;
	}
	branchFrom(e, n = "") {
		this.forkAt = e, this.forkMessage = n, this.overlay = "branch";
	}
}(), Parts = class {
	#e = state(null);
	get panes() {
		return get$1(this.#e);
	}
	set panes(e) {
		set(this.#e, e);
	}
	#t = state(null);
	get home() {
		return get$1(this.#t);
	}
	set home(e) {
		set(this.#t, e);
	}
	needPanes() {
		fetched(() => import("./panes.js"), (e) => this.panes ??= e);
	}
	needHome() {
		fetched(() => import("./home.js"), (e) => this.home ??= e);
	}
};
async function fetched(e, n) {
	try {
		n(await e());
	} catch {
		ui.problem = new ApiError(0, "page", "A part of the page could not be fetched. Reload the page.");
	}
}
var parts$1 = new Parts(), english = {
	appName: "Life",
	workspace: "Workspace",
	sessions: "Sessions",
	plainPages: "Plain pages",
	inbox: "Inbox",
	preferences: "Preferences",
	palette: "Commands",
	shortcuts: "Keyboard",
	close: "Close",
	cancel: "Cancel",
	copy: "Copy",
	copied: "Copied",
	retry: "Retry now",
	notReported: "not reported",
	chat: "Conversation",
	middle: "Work",
	inspectors: "Inspectors",
	dock: "Status",
	skip: "Skip to the conversation",
	files: "Files",
	journal: "Journal",
	timeline: "Timeline",
	memory: "Memory",
	preview: "Preview",
	trace: "Trace",
	judge: "Judge",
	context: "Context",
	autonomic: "Autonomic",
	ledger: "Ledger",
	identity: "Identity",
	reasoningGroup: "Reasoning",
	economyGroup: "Economy",
	identityGroup: "Identity",
	live: "Live",
	paused: "Paused",
	replay: "Replay",
	liveAt: "Live at #{n}",
	pausedAt: "Paused at #{n}",
	replayAt: "Replay at #{n}",
	newEvents: "{n} new",
	followLive: "Follow live",
	position: "Position",
	positionText: "event {n} of {head}, {what}, {time}",
	seeking: "Reading #{n}…",
	viewOnly: "Looking only: no model, tool or wallet is touched.",
	play: "Play",
	pausePlay: "Stop playing",
	stepBack: "One event back",
	stepOn: "One event on",
	previousRun: "Previous run",
	nextRun: "Next run",
	first: "First event",
	speed: "Speed",
	branchHere: "Branch from here",
	share: "Copy link",
	compare: "Compare",
	status_idle: "Idle",
	status_running: "Working",
	status_paused: "Held",
	status_waiting: "Waiting for you",
	status_in_doubt: "In doubt: waiting for you",
	status_closed: "Closed",
	thinkingNow: "Thinking",
	writingNow: "Writing",
	toolNow: "Running {tool}",
	conn_connecting: "Connecting",
	conn_open: "Connected",
	conn_polling: "Connected (asking now and then)",
	conn_lost: "Connection lost",
	conn_resting: "Resting (hidden tab)",
	conn_closed: "Recording",
	lostBody: "Last event #{n}. What is here stays readable.",
	answering: "The agent is answering",
	answered: "Answer complete, {n} words",
	waitingForYou: "Waiting for your approval",
	you: "You",
	agent: "Agent",
	thinking: "Thinking",
	noReasoning: "This provider shows no reasoning.",
	tool: "Tool",
	payment: "Payment",
	older: "Show earlier",
	nothingYet: "Nothing has happened yet.",
	startHint: "Say what the agent should do. It works in a workspace of its own; everything it does becomes an event here.",
	message: "Message",
	send: "Send",
	messageHint: "Enter sends, Shift+Enter breaks the line. / for commands, @ for files.",
	after: "After this",
	steerNow: "Steer now",
	interrupt: "Interrupt",
	whileRunning: "While it works",
	queued: "Waiting messages",
	stop: "Stop the run",
	stopHint: "Cancels the run; the journal stays whole.",
	hold: "Pause",
	holdHint: "Finishes the running tool, then holds.",
	goOn: "Continue",
	readOnly: "This branch is read-only.",
	notLive: "You are looking at the past. A message goes to the head of this branch.",
	spent: "Spent",
	ofCap: "of {cap}",
	state_requested: "asked for",
	state_waiting: "waits for approval",
	state_client: "waits for the client",
	state_approved: "approved",
	state_running: "running",
	state_ok: "ok",
	state_error: "failed",
	state_timeout: "timed out",
	state_cancelled: "not run",
	state_failed: "failed",
	state_refused: "refused",
	state_expired: "nobody decided",
	state_in_doubt: "in doubt",
	showAll: "Show all {n} lines",
	showLess: "Show less",
	inJournal: "In the journal",
	approvalAsk: "{tool} wants to run",
	needs: "It needs",
	risk: "Risk",
	risk_low: "low",
	risk_medium: "medium",
	risk_high: "high",
	risk_critical: "critical",
	approve: "Approve once",
	refuse: "Refuse",
	refuseReason: "Reason, for the agent",
	editArguments: "Edit the arguments",
	approveEdited: "Approve as edited",
	allowSession: "Allow for this session",
	allowSessionHint: "Makes a rule for this tool and what this call needs. It can be taken back.",
	expiresIn: "Refused by itself in {time}",
	expired: "The time has run out.",
	whyAsked: "Why: {rule}",
	alreadyDecided: "Somebody decided already.",
	notJson: "This is not valid JSON.",
	rules: "Allowed for this session",
	exactly: "Exactly",
	paymentAsk: "A payment of {amount} to {payee}",
	payeeOf: "Payee",
	resource: "For",
	network: "Network",
	simulated: "simulated (local play money)",
	ruler: "Up to {auto} by itself, up to {most} with you, above that refused; {session} per session.",
	endReason: "Run ended: {reason}",
	endFigures: "{steps} steps · {calls} calls · {tokens} tokens",
	more: "Details",
	source: "From {events}",
	asOf: "as of #{n}",
	sourceLive: "live",
	sourceRecorded: "recorded",
	sourceRead: "read {when}",
	sourcePast: "at a past position",
	touched: "Touched",
	allFiles: "All files",
	filterFiles: "Filter files",
	noFiles: "No file was touched up to here.",
	op_write: "written",
	op_change: "changed",
	op_delete: "deleted",
	op_rename: "renamed",
	op_there: "there",
	content: "Content",
	difference: "Difference",
	history: "History",
	download: "Download",
	noFileChosen: "Choose a file to see its content, its changes and its history.",
	fileGone: "The file was deleted at #{n}.",
	contentMissing: "The content is not in this recording.",
	binary: "Not text; download it to see it.",
	noEarlier: "There is no earlier version.",
	same: "Nothing changed.",
	seq: "#",
	event: "Event #{n}",
	loading: "Loading…",
	model: "Model",
	totals: "Totals",
	open: "open",
	mode: "Mode",
	rulings: "Rulings",
	breakerOpen: "The circuit breaker is open: no tool runs until you speak.",
	earned: "Earned",
	payments: "Payments",
	policy: "Policy",
	pay_asked: "asked",
	pay_reserved: "reserved",
	pay_signed: "signed",
	pay_sent: "sent",
	pay_claimed: "claimed",
	pay_cancelling: "cancelling",
	pay_unknown: "outcome unknown",
	pay_settled: "settled",
	pay_failed: "failed",
	pay_released: "given back",
	pay_declined: "declined",
	pay_earned: "earned",
	transaction: "Transaction",
	provider: "Model",
	tools: "Tools",
	peers: "Agents that work for this one",
	branches: "Branches",
	branch: "Branch",
	main: "main",
	runAgainHint: "Makes the branch and runs on it: a model is asked and may cost.",
	editResend: "Edit and run again",
	one: "One",
	other: "The other",
	exportHtml: "Export as one HTML file",
	plainSession: "Plain page of this session",
	start: "Start",
	name: "Name",
	error: "That did not work",
	notFound: "There is no such session, or it is not yours.",
	backToList: "To the list",
	pageOld: "The daemon serves a newer page. Reload when you are ready.",
	reload: "Reload",
	stale: "This page is older than its sources; run make ui.",
	notice_SessionResumed: "Taken up again after a restart",
	notice_SessionClosed: "Session closed",
	notice_BranchCreated: "Branch {d}",
	notice_BranchMerged: "Branch {d} merged in",
	notice_CheckpointRestored: "Went back to #{d}",
	notice_RunErrored: "The run failed: {d}",
	notice_ErrorRaised: "Error: {d}",
	notice_ContextCompacted: "Older turns were summed up",
	notice_CircuitBreakerTripped: "Circuit breaker: {d}",
	"notice_arcan.run_paused": "Paused",
	"notice_arcan.run_continued": "Goes on",
	"notice_arcan.suspended": "Held by the regulator: {d}",
	"notice_arcan.resumed": "The regulator lets it go on",
	"notice_arcan.limit_reached": "Limit reached: {d}",
	"notice_arcan.model_notice": "Model: {d}",
	"notice_arcan.call_edited": "Arguments were edited",
	"notice_arcan.rule_added": "Allowed for this session: {d}",
	"notice_arcan.rule_revoked": "A rule was taken back",
	"notice_arcan.run_in_doubt": "In doubt: {d}",
	"notice_arcan.doubt_resolved": "Doubt resolved: {d}",
	"notice_arcan.provider_set": "Model from now on: {d}",
	"notice_arcan.branch_sealed": "Merged into {d}; read-only",
	"notice_policy.violation": "Forbidden: {d}",
	startAgain: "Daemon stopped? Start it with: life up",
	eventsN: "{n} events",
	showPane: "Show",
	resize: "Width of {pane}",
	linkCopied: "The link was copied.",
	graph: "Knowledge",
	spaces: "Spaces",
	"notice_demo.branch_offered": "Another way was offered: {d}",
	hires: "Hired work",
	contacts: "Peers",
	channels: "Channels",
	score: "Score",
	catchingUp: "Catching up",
	approvePause: "Approve and pause after",
	approvePauseHint: "Lets this call run, then holds the run.",
	simulatedTag: "simulated",
	demoRun: "Demo: {slug}",
	demoRecording: "Recording of the demo {slug}: you look at what was, nothing runs.",
	demoCopy: "Your own, made from the demo {slug}",
	simulatedWhat: "What stands in for the outside world",
	offerBranch: "Branch from before #{n}",
	withdraw: "Take back",
	editQueued: "Edit",
	attach: "Attach text files",
	attached: "Attached",
	removeFile: "Remove {name}",
	fileTooLarge: "{name} is larger than {most}; it was not attached.",
	fileNotText: "{name} is not text; only text can be attached.",
	filesTooMany: "At most {n} files, {most} together.",
	dropHere: "Drop text files here",
	price: "Price",
	makeMine: "Make it mine"
}, others = proxy({ words: {} });
function learn(e) {
	Object.assign(english, e);
}
async function load() {
	if (!(language() === "en" || Object.keys(others.words).length)) try {
		let e = document.getElementById("words-es")?.textContent, n = document.querySelector("meta[name=\"life-words-es\"]")?.content;
		e ? others.words = JSON.parse(e) : n && !offline && (others.words = await (await fetch(n)).json());
	} catch {}
}
function t(e, n = {}) {
	return ((language() === "es" ? others.words[e] : void 0) ?? english[e] ?? e).replace(/\{(\w+)\}/g, (e, i) => i in n ? String(n[i]) : e);
}
function term(e, n, i = {}) {
	let a = e + n;
	return Object.hasOwn(english, a) ? t(a, i) : n;
}
// src/lib/Splitter.svelte
var root$22 = from_html("<div role=\"separator\" aria-orientation=\"vertical\" tabindex=\"0\"></div>");
function Splitter(e, n) {
	push$1(n, !0);
	let i = (e) => Math.max(n.min, Math.min(n.max, Math.round(e))), a = state(!1);
	function o(e) {
		set(a, !0), e.target.setPointerCapture(e.pointerId);
	}
	function s(e) {
		get$1(a) && n.onchange(i(n.side === "left" ? e.clientX : innerWidth - e.clientX));
	}
	function c(e) {
		let a = n.side === "left" ? 1 : -1, o = {
			ArrowRight: n.value + 16 * a,
			ArrowLeft: n.value - 16 * a,
			Home: n.min,
			End: n.max
		}[e.key];
		o !== void 0 && (e.preventDefault(), e.stopPropagation(), n.onchange(i(o)));
	}
	var l = root$22();
	let u;
	template_effect((e) => {
		u = set_class(l, 1, "splitter", null, u, { dragging: get$1(a) }), set_attribute(l, "aria-label", e), set_attribute(l, "aria-valuenow", n.value), set_attribute(l, "aria-valuemin", n.min), set_attribute(l, "aria-valuemax", n.max);
	}, [() => t("resize", { pane: n.pane })]), delegated("pointerdown", l, o), delegated("pointermove", l, s), delegated("pointerup", l, () => set(a, !1)), delegated("keydown", l, c), append(e, l), pop();
}
delegate([
	"pointerdown",
	"pointermove",
	"pointerup",
	"keydown"
]);
// src/lib/Tabs.svelte
var root$21 = from_html("<span class=\"tabgap\" aria-hidden=\"true\"></span>"), root_1$17 = from_html("<span class=\"badge\"> </span>"), root_2$15 = from_html("<!> <button role=\"tab\"> <!></button>", 1), root_3$13 = from_html("<div class=\"tabs\"><div role=\"tablist\" tabindex=\"-1\"></div> <!></div> <div class=\"panel\" role=\"tabpanel\" tabindex=\"-1\"><!></div>", 1);
function Tabs(e, n) {
	push$1(n, !0);
	function i(e) {
		let i = n.tabs.findIndex((e) => e.id === n.chosen), a = {
			ArrowRight: i + 1,
			ArrowLeft: i - 1,
			Home: 0,
			End: n.tabs.length - 1
		}[e.key];
		if (a === void 0) return;
		e.preventDefault(), e.stopPropagation();
		let o = n.tabs[(a + n.tabs.length) % n.tabs.length];
		o && (n.onchoose(o.id), document.getElementById(`${n.prefix}-tab-${o.id}`)?.focus());
	}
	var a = root_3$13(), o = first_child(a), s = child(o);
	each(s, 23, () => n.tabs, (e) => e.id, (e, i, a) => {
		var o = root_2$15(), s = first_child(o), c = (e) => {
			append(e, root$21());
		};
		if_block(s, (e) => {
			get$1(i).group && get$1(i).group !== n.tabs[get$1(a) - 1]?.group && get$1(a) > 0 && e(c);
		});
		var l = sibling(s, 2), u = child(l, !0), d = sibling(u), f = (e) => {
			var n = root_1$17(), a = only_child(n, !0);
			template_effect(() => set_text(a, get$1(i).badge)), append(e, n);
		};
		if_block(d, (e) => {
			get$1(i).badge && e(f);
		}), reset(l), template_effect(() => {
			set_attribute(l, "id", `${n.prefix ?? ""}-tab-${get$1(i).id ?? ""}`), set_attribute(l, "aria-selected", get$1(i).id === n.chosen), set_attribute(l, "aria-controls", `${n.prefix ?? ""}-panel`), set_attribute(l, "tabindex", get$1(i).id === n.chosen ? 0 : -1), set_attribute(l, "title", get$1(i).group), set_text(u, get$1(i).label);
		}), delegated("click", l, () => n.onchoose(get$1(i).id)), append(e, o);
	}), reset(s);
	var c = sibling(s, 2), l = (e) => {
		var i = comment();
		snippet(first_child(i), () => n.extra), append(e, i);
	};
	if_block(c, (e) => {
		n.extra && e(l);
	}), reset(o);
	var u = sibling(o, 2);
	snippet(child(u), () => n.panel), reset(u), template_effect(() => {
		set_attribute(s, "aria-label", n.label), set_attribute(u, "id", `${n.prefix ?? ""}-panel`), set_attribute(u, "aria-labelledby", `${n.prefix ?? ""}-tab-${n.chosen ?? ""}`);
	}), delegated("keydown", s, i), append(e, a), pop();
}
delegate(["keydown", "click"]);
// src/app/attachments.ts
var MOST_BYTES = 65536, MOST_BYTES_TOGETHER = 131072;
async function attachment(e) {
	try {
		let n = new TextDecoder("utf-8", {
			fatal: !0,
			ignoreBOM: !0
		}).decode(await e.arrayBuffer());
		return n.includes("\0") ? null : {
			name: e.name,
			text: n,
			bytes: e.size
		};
	} catch {
		return null;
	}
}
async function withAttachments(e, n) {
	let i = n.map(async (e) => {
		let n = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(e.text))), i = Array.from(n.slice(0, 4), (e) => e.toString(16).padStart(2, "0")).join("");
		return `<attachment id="${i}" path="${e.name.replaceAll("\"", "'").replaceAll("\n", " ")}" bytes="${e.bytes}">\n${e.text}\n</attachment id="${i}">`;
	});
	return [e, ...await Promise.all(i)].join("\n\n");
}
var ATTACHMENT = /\n*<attachment id="([0-9a-f]{8})" path="([^"\n]*)" bytes="\d+">\n[^]*?\n<\/attachment id="\1">/g;
function withoutAttachments(e) {
	if (!e.includes("<attachment id=")) return {
		text: e,
		names: []
	};
	let n = [];
	return {
		text: e.replace(ATTACHMENT, (e, i, a) => (n.push(a), "")).trim(),
		names: n
	};
}
// src/app/format.ts
var made = new Map();
function once(e, n) {
	let i = `${language()} ${e}`;
	return made.has(i) || made.set(i, n(language())), made.get(i);
}
function usd(e) {
	let n = e / 1e6, i = e === 0 || e % 1e4 == 0 ? 2 : e % 100 == 0 ? 4 : 6;
	return once(`usd${i}`, (e) => new Intl.NumberFormat(e, {
		style: "currency",
		currency: "USD",
		minimumFractionDigits: i
	})).format(n);
}
function micro(e) {
	return `${whole(e)} µ`;
}
function whole(e) {
	return once("whole", (e) => new Intl.NumberFormat(e)).format(e);
}
function percent(e) {
	return once("percent", (e) => new Intl.NumberFormat(e, {
		style: "percent",
		maximumFractionDigits: 0
	})).format(e);
}
function time(e) {
	let n = new Date(e);
	return Number.isNaN(n.getTime()) ? "" : once("time", (e) => new Intl.DateTimeFormat(e, {
		hour: "2-digit",
		minute: "2-digit",
		second: "2-digit",
		hourCycle: "h23"
	})).format(n);
}
function moment(e) {
	let n = new Date(e);
	return Number.isNaN(n.getTime()) ? "" : new Intl.DateTimeFormat(language(), {
		dateStyle: "medium",
		timeStyle: "medium"
	}).format(n);
}
function duration(e) {
	if (e < 1e3) return `${Math.round(e)} ms`;
	if (e < 6e4) return `${(e / 1e3).toFixed(+(e < 1e4))} s`;
	let n = Math.round(e / 1e3);
	return `${Math.floor(n / 60)} min ${n % 60} s`;
}
function between(e, n) {
	let i = Date.parse(n) - Date.parse(e);
	return Number.isFinite(i) ? Math.max(0, i) : 0;
}
function bytes(e) {
	return e < 0 ? t("notReported") : e < 1024 ? `${e} B` : e < 1048576 ? `${(e / 1024).toFixed(1)} KiB` : `${(e / 1048576).toFixed(1)} MiB`;
}
function ago(e) {
	let n = Math.round((Date.now() - e / 1e3) / 1e3), i = new Intl.RelativeTimeFormat(language(), { numeric: "auto" });
	return n < 90 ? i.format(-n, "second") : n < 5400 ? i.format(-Math.round(n / 60), "minute") : n < 129600 ? i.format(-Math.round(n / 3600), "hour") : i.format(-Math.round(n / 86400), "day");
}
function about(e) {
	return once("about", (e) => new Intl.NumberFormat(e, {
		style: "currency",
		currency: "USD",
		maximumSignificantDigits: 2
	})).format(e / 1e6);
}
function decimal(e) {
	return once("decimal", (e) => new Intl.NumberFormat(e, {
		minimumFractionDigits: 2,
		maximumFractionDigits: 2
	})).format(e);
}
function id(e, n = 8) {
	return e.length <= n * 2 + 1 ? e : `${e.slice(0, n)}…${e.slice(-n)}`;
}
function pretty(e) {
	return typeof e == "string" ? e : JSON.stringify(e, null, 2) ?? "";
}
// src/app/markdown.ts
var FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/, ITEM = /^( {0,3})([-*+]|(\d{1,9})[.)])\s+(.*)$/, MOST_DEPTH = 6;
function blocks(e, n = 0) {
	let i = e.replace(/\r\n?/g, "\n").split("\n"), a = [], o = 0;
	for (; o < i.length;) {
		let e = i[o];
		if (!e.trim()) {
			o++;
			continue;
		}
		let s = FENCE.exec(e);
		if (s) {
			let e = s[1], n = [];
			for (o++; o < i.length && !i[o].trimStart().startsWith(e);) n.push(i[o++]);
			o++, a.push({
				type: "code",
				language: s[2] ?? "",
				text: n.join("\n")
			});
			continue;
		}
		let c = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/.exec(e);
		if (c) {
			a.push({
				type: "h",
				level: c[1].length,
				parts: inline(c[2])
			}), o++;
			continue;
		}
		if (/^ {0,3}([-*_])( *\1){2,} *$/.test(e)) {
			a.push({ type: "hr" }), o++;
			continue;
		}
		if (/^ {0,3}>/.test(e) && n < MOST_DEPTH) {
			let e = [];
			for (; o < i.length && /^ {0,3}>/.test(i[o]);) e.push(i[o++].replace(/^ {0,3}> ?/, ""));
			a.push({
				type: "quote",
				blocks: blocks(e.join("\n"), n + 1)
			});
			continue;
		}
		if (ITEM.exec(e) && n < MOST_DEPTH) {
			let [e, s] = listFrom(i, o, n);
			a.push(e), o = s;
			continue;
		}
		if (e.includes("|") && /^ {0,3}\|?[\s:|-]*-[\s:|-]*$/.test(i[o + 1] ?? "") && (i[o + 1] ?? "").includes("|")) {
			let n = cells(e), s = [];
			for (o += 2; o < i.length && i[o].includes("|");) s.push(cells(i[o++]));
			a.push({
				type: "table",
				head: n,
				rows: s
			});
			continue;
		}
		let l = [];
		for (; o < i.length && i[o].trim() && !FENCE.test(i[o]) && !(l.length && (ITEM.test(i[o]) || /^ {0,3}(#{1,6}\s|>)/.test(i[o])));) l.push(i[o++]);
		a.push({
			type: "p",
			parts: inline(l.join("\n"))
		});
	}
	return a;
}
function listFrom(e, n, i) {
	let a = ITEM.exec(e[n]), o = a[3] !== void 0, s = [], c = n;
	for (; c < e.length;) {
		let n = ITEM.exec(e[c]);
		if (!n || n[3] !== void 0 !== o) break;
		let a = [n[4]];
		for (c++; c < e.length && (/^( {2,}|\t)/.test(e[c]) || !e[c].trim() && /^( {2,}|\t)/.test(e[c + 1] ?? ""));) a.push(e[c++].replace(/^(\t| {1,4})/, ""));
		s.push(blocks(a.join("\n"), i + 1)), c < e.length && !e[c].trim() && ITEM.test(e[c + 1] ?? "") && c++;
	}
	return [{
		type: "list",
		ordered: o,
		start: Number(a[3] ?? 1),
		items: s
	}, c];
}
function cells(e) {
	return e.trim().replace(/^\||\|$/g, "").split("|").map((e) => inline(e.trim()));
}
var INLINE = /(`+)([\s\S]+?)\1|\*\*([\s\S]+?)\*\*|__([\s\S]+?)__|~~([\s\S]+?)~~|\*([^\s*][\s\S]*?)\*|\b_([^\s_][\s\S]*?)_\b|\[([^\]]+)\]\(([^()\s]+)\)|(https?:\/\/[^\s<>()\]]+)/;
function inline(e, n = 0) {
	let i = [], a = e;
	for (; a;) {
		let e = n < MOST_DEPTH ? INLINE.exec(a) : null;
		if (!e) {
			i.push({
				type: "text",
				text: a
			});
			break;
		}
		e.index && i.push({
			type: "text",
			text: a.slice(0, e.index)
		});
		let [o, , s, c, l, u, d, f, p, m, h] = e, g = (e) => inline(e, n + 1);
		if (s !== void 0) i.push({
			type: "code",
			text: s.trim() || s
		});
		else if (c ?? l) i.push({
			type: "strong",
			parts: g(c ?? l)
		});
		else if (u) i.push({
			type: "del",
			parts: g(u)
		});
		else if (d ?? f) i.push({
			type: "em",
			parts: g(d ?? f)
		});
		else {
			let e = safe(m ?? h);
			e ? i.push({
				type: "link",
				href: e,
				parts: p ? g(p) : [{
					type: "text",
					text: h
				}]
			}) : i.push({
				type: "text",
				text: o
			});
		}
		a = a.slice(e.index + o.length);
	}
	return i;
}
function safe(e) {
	try {
		let n = new URL(e);
		return [
			"https:",
			"http:",
			"mailto:"
		].includes(n.protocol) ? n.href : "";
	} catch {
		return "";
	}
}
// src/lib/Copy.svelte
var root$20 = from_html("<button class=\"quiet small\"> </button>");
function Copy(e, n) {
	push$1(n, !0);
	let i = prop(n, "label", 3, ""), a = state(!1);
	async function o() {
		try {
			await navigator.clipboard.writeText(n.text), set(a, !0), setTimeout(() => set(a, !1), 1500);
		} catch {}
	}
	var s = root$20(), c = only_child(s, !0);
	template_effect((e) => set_text(c, e), [() => get$1(a) ? t("copied") : i() || t("copy")]), delegated("click", s, o), append(e, s), pop();
}
delegate(["click"]);
// src/lib/Markdown.svelte
var parts = (e, n = noop) => {
	var i = comment();
	each(first_child(i), 17, n, index, (e, n) => {
		var i = comment(), a = first_child(i), o = (e) => {
			var i = text$2();
			template_effect(() => set_text(i, get$1(n).text)), append(e, i);
		}, s = (e) => {
			var i = root$19(), a = only_child(i, !0);
			template_effect(() => set_text(a, get$1(n).text)), append(e, i);
		}, c = (e) => {
			var i = root_1$16();
			parts(child(i), () => get$1(n).parts), reset(i), append(e, i);
		}, l = (e) => {
			var i = root_2$14();
			parts(child(i), () => get$1(n).parts), reset(i), append(e, i);
		}, u = (e) => {
			var i = root_3$12();
			parts(child(i), () => get$1(n).parts), reset(i), append(e, i);
		}, d = (e) => {
			var i = root_4$12();
			parts(child(i), () => get$1(n).parts), reset(i), template_effect(() => set_attribute(i, "href", get$1(n).href)), append(e, i);
		};
		if_block(a, (e) => {
			get$1(n).type === "text" ? e(o) : get$1(n).type === "code" ? e(s, 1) : get$1(n).type === "strong" ? e(c, 2) : get$1(n).type === "em" ? e(l, 3) : get$1(n).type === "del" ? e(u, 4) : get$1(n).type === "link" && e(d, 5);
		}), append(e, i);
	}), append(e, i);
}, nodes = (e, n = noop) => {
	var i = comment();
	each(first_child(i), 17, n, index, (e, n) => {
		var i = comment(), a = first_child(i), o = (e) => {
			var i = root_5$8();
			parts(child(i), () => get$1(n).parts), reset(i), append(e, i);
		}, s = (e) => {
			var i = root_5$8();
			parts(child(i), () => get$1(n).parts), reset(i), template_effect(() => set_class(i, 1, `heading h${get$1(n).level ?? ""}`)), append(e, i);
		}, c = (e) => {
			var i = root_6$6(), a = child(i), o = child(a), s = only_child(o, !0);
			Copy(sibling(o), { get text() {
				return get$1(n).text;
			} }), reset(a);
			var c = only_child(sibling(a), !0);
			reset(i), template_effect(() => {
				set_text(s, get$1(n).language), set_text(c, get$1(n).text);
			}), append(e, i);
		}, l = (e) => {
			var i = comment();
			element(first_child(i), () => get$1(n).ordered ? "ol" : "ul", !1, (e, i) => {
				attribute_effect(e, () => ({ start: get$1(n).ordered ? get$1(n).start : void 0 }));
				var a = comment();
				each(first_child(a), 17, () => get$1(n).items, index, (e, n) => {
					var i = root_7$6();
					nodes(child(i), () => get$1(n)), reset(i), append(e, i);
				}), append(i, a);
			}), append(e, i);
		}, u = (e) => {
			var i = root_8$5();
			nodes(child(i), () => get$1(n).blocks), reset(i), append(e, i);
		}, d = (e) => {
			var i = root_12$2(), a = child(i), o = child(a), s = child(o);
			each(s, 21, () => get$1(n).head, index, (e, n) => {
				var i = root_9$5();
				parts(child(i), () => get$1(n)), reset(i), append(e, i);
			}), reset(s), reset(o);
			var c = sibling(o);
			each(c, 21, () => get$1(n).rows, index, (e, n) => {
				var i = root_11$2();
				each(i, 21, () => get$1(n), index, (e, n) => {
					var i = root_10$4();
					parts(child(i), () => get$1(n)), reset(i), append(e, i);
				}), reset(i), append(e, i);
			}), reset(c), reset(a), reset(i), append(e, i);
		}, f = (e) => {
			append(e, root_13$1());
		};
		if_block(a, (e) => {
			get$1(n).type === "p" ? e(o) : get$1(n).type === "h" ? e(s, 1) : get$1(n).type === "code" ? e(c, 2) : get$1(n).type === "list" ? e(l, 3) : get$1(n).type === "quote" ? e(u, 4) : get$1(n).type === "table" ? e(d, 5) : e(f, -1);
		}), append(e, i);
	}), append(e, i);
}, root$19 = from_html("<code> </code>"), root_1$16 = from_html("<strong><!></strong>"), root_2$14 = from_html("<em><!></em>"), root_3$12 = from_html("<del><!></del>"), root_4$12 = from_html("<a target=\"_blank\" rel=\"noopener noreferrer nofollow\"><!></a>"), root_5$8 = from_html("<p><!></p>"), root_6$6 = from_html("<div class=\"code\"><div class=\"code-head\"><span> </span><!></div><pre> </pre></div>"), root_7$6 = from_html("<li><!></li>"), root_8$5 = from_html("<blockquote><!></blockquote>"), root_9$5 = from_html("<th scope=\"col\"><!></th>"), root_10$4 = from_html("<td><!></td>"), root_11$2 = from_html("<tr></tr>"), root_12$2 = from_html("<div class=\"scroll\"><table><thead><tr></tr></thead><tbody></tbody></table></div>"), root_13$1 = from_html("<hr/>"), root_14$1 = from_html("<div class=\"markdown\"><!></div>");
function Markdown(e, n) {
	push$1(n, !0);
	let i = user_derived(() => blocks(n.text));
	var a = root_14$1();
	nodes(child(a), () => get$1(i)), reset(a), append(e, a), pop();
}
// src/lib/Source.svelte
var root$18 = from_html("<footer class=\"source\"><span> </span><span> </span></footer>");
function Source(e, n) {
	push$1(n, !0);
	let i = user_derived(() => n.read === void 0 ? offline ? t("sourceRecorded") : n.view.position === null ? t("sourceLive") : t("sourcePast") : t("sourceRead", { when: new Date(n.read).toLocaleTimeString() }));
	var a = root$18(), o = child(a), s = only_child(o, !0), c = only_child(sibling(o));
	reset(a), template_effect((e, a) => {
		set_attribute(o, "title", n.events), set_text(s, e), set_text(c, `${a ?? ""} · ${get$1(i) ?? ""}`);
	}, [() => t("source", { events: n.events }), () => t("asOf", { n: n.seq ?? n.view.state.seq })]), append(e, a), pop();
}
// src/panels/goto.ts
function toJournal(e, n) {
	n.branch === e.branch ? route.set({
		mid: "journal",
		event: n.seq,
		pane: "mid"
	}) : route.go(e.id, {
		...n.branch === "main" ? {} : { branch: n.branch },
		mid: "journal",
		event: String(n.seq),
		pane: "mid"
	});
}
// src/panels/PaymentCard.svelte
var root$17 = from_html("<dt> </dt><dd> </dd>", 1), root_1$15 = from_html("<dt> </dt><dd><code> </code></dd>", 1), root_2$13 = from_html("<article><div class=\"tool-head flat\"><span class=\"icon-letter\" aria-hidden=\"true\">¤</span> <span class=\"tool-name\"> </span> <span class=\"tool-target\"> </span> <span class=\"tool-state\"> </span></div> <dl class=\"tool-body\"><dt> </dt><dd><code> </code></dd> <dt> </dt><dd> <!></dd> <!> <!> <!></dl> <button class=\"quiet small\"> </button></article>");
function PaymentCard(e, n) {
	push$1(n, !0);
	let i = user_derived(() => n.payment?.network === "eip155:4020402");
	var a = comment(), o = first_child(a), s = (e) => {
		var a = root_2$13(), o = child(a), s = sibling(child(o), 2), c = only_child(s, !0), l = sibling(s, 2), u = only_child(l, !0), d = only_child(sibling(l, 2), !0);
		reset(o);
		var f = sibling(o, 2), p = child(f), m = only_child(p, !0), h = sibling(p), g = only_child(child(h), !0);
		reset(h);
		var _ = sibling(h, 2), v = only_child(_, !0), y = sibling(_), b = child(y, !0), x = sibling(b), S = (e) => {
			var n = text$2();
			template_effect((e) => set_text(n, ` · ${e ?? ""}`), [() => t("simulated")]), append(e, n);
		};
		if_block(x, (e) => {
			get$1(i) && e(S);
		}), reset(y);
		var C = sibling(y, 2), w = (e) => {
			var i = root$17(), a = first_child(i), o = only_child(a, !0), s = only_child(sibling(a), !0);
			template_effect((e, n) => {
				set_text(o, e), set_text(s, n);
			}, [() => t("exactly"), () => micro(n.payment.amount_micro)]), append(e, i);
		};
		if_block(C, (e) => {
			n.payment.amount_micro && e(w);
		});
		var T = sibling(C, 2), E = (e) => {
			var i = root_1$15(), a = first_child(i), o = only_child(a, !0), s = sibling(a), c = only_child(child(s), !0);
			reset(s), template_effect((e, n) => {
				set_text(o, e), set_text(c, n);
			}, [() => t("transaction"), () => id(n.payment.tx, 10)]), append(e, i);
		};
		if_block(T, (e) => {
			n.payment.tx && e(E);
		});
		var D = sibling(T, 2), O = (e) => {
			var i = root$17(), a = first_child(i), o = only_child(a, !0), s = only_child(sibling(a), !0);
			template_effect((e) => {
				set_text(o, e), set_text(s, n.payment.reason);
			}, [() => t("more")]), append(e, i);
		};
		if_block(D, (e) => {
			n.payment.reason && e(O);
		}), reset(f);
		var k = sibling(f, 2), A = only_child(k, !0);
		reset(a), template_effect((e, n, i, o, s, l, f, p, h, _) => {
			set_class(a, 1, `tool ${e ?? ""}`), set_attribute(a, "aria-label", n), set_text(c, i), set_text(u, o), set_text(d, s), set_text(m, l), set_text(g, f), set_text(v, p), set_text(b, h), set_text(A, _);
		}, [
			() => n.payment.state === "settled" || n.payment.state === "earned" ? "good" : ["failed", "declined"].includes(n.payment.state) ? "bad" : "wait",
			() => t("payment"),
			() => n.payment.amount_micro ? usd(n.payment.amount_micro) : t("notReported"),
			() => n.payment.resource || id(n.payment.payee),
			() => term("pay_", n.payment.state),
			() => t("payeeOf"),
			() => n.payment.payee ? id(n.payment.payee, 10) : t("notReported"),
			() => t("network"),
			() => n.payment.network || t("notReported"),
			() => t("ledger")
		]), delegated("click", k, () => route.set({
			right: "ledger",
			pane: "right"
		})), append(e, a);
	};
	if_block(o, (e) => {
		n.payment && e(s);
	}), append(e, a), pop();
}
delegate(["click"]);
// src/panels/Ruler.svelte
var root$16 = from_html("<span class=\"pin\"></span>"), root_1$14 = from_html("<span class=\"soft\"> </span>"), root_2$12 = from_html("<div class=\"ruler\" aria-hidden=\"true\"><span class=\"auto\"></span><span class=\"ask\"></span><span class=\"refuse\"></span> <!></div> <p class=\"small-text\"> <!></p>", 1);
function Ruler(e, n) {
	push$1(n, !0);
	let i = prop(n, "amount", 3, 0), a = user_derived(() => Math.log10(Math.max(10, n.policy.most_per_payment_micro * 10))), o = (e) => Math.max(0, Math.min(100, Math.log10(Math.max(1, e)) / get$1(a) * 100));
	var s = root_2$12(), c = first_child(s), l = child(c);
	let u;
	var d = sibling(l);
	let f;
	var p = sibling(d, 3), m = (e) => {
		var n = root$16();
		let a;
		template_effect((e) => a = set_style(n, "", a, { left: e }), [() => `${o(i()) ?? ""}%`]), append(e, n);
	};
	if_block(p, (e) => {
		i() && e(m);
	}), reset(c);
	var h = sibling(c, 2), g = child(h), _ = sibling(g), v = (e) => {
		var n = root_1$14(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("simulated")]), append(e, n);
	};
	if_block(_, (e) => {
		n.policy.network === "eip155:4020402" && e(v);
	}), reset(h), template_effect((e, n, i) => {
		u = set_style(l, "", u, { width: e }), f = set_style(d, "", f, { width: n }), set_text(g, `${i ?? ""} `);
	}, [
		() => `${o(n.policy.auto_approve_micro) ?? ""}%`,
		() => `${o(n.policy.most_per_payment_micro) - o(n.policy.auto_approve_micro)}%`,
		() => t("ruler", {
			auto: usd(n.policy.auto_approve_micro),
			most: usd(n.policy.most_per_payment_micro),
			session: usd(n.policy.most_per_session_micro)
		})
	]), append(e, s), pop();
}
// src/panels/PaymentQuestion.svelte
var root$15 = from_html("<section class=\"approval\"><p><strong> </strong> <span class=\"soft\"> </span></p> <!> <dl class=\"facts\"><dt> </dt><dd> </dd> <dt> </dt><dd> <!></dd> <dt> </dt><dd><code> </code></dd> <dt> </dt><dd> <!> </dd></dl> <div class=\"row\"><button> </button><button class=\"quiet\"> </button></div></section>");
function PaymentQuestion(e, n) {
	push$1(n, !0);
	let i = state(!1);
	async function a(e) {
		get$1(i) || (set(i, !0), await ui.attempt(() => send("POST", `/v1/approvals/${encodeURIComponent(n.ask.ticket_id)}`, { decision: e })), await ui.readInbox(), set(i, !1));
	}
	var o = root$15(), s = child(o), c = child(s), l = only_child(c, !0), u = only_child(sibling(c, 2), !0);
	reset(s);
	var d = sibling(s, 2), f = (e) => {
		Ruler(e, {
			get policy() {
				return ui.about.payments;
			},
			get amount() {
				return n.ask.amount_micro;
			}
		});
	};
	if_block(d, (e) => {
		ui.about && e(f);
	});
	var p = sibling(d, 2), m = child(p), h = only_child(m, !0), g = sibling(m), _ = only_child(g, !0), v = sibling(g, 2), y = only_child(v, !0), b = sibling(v), x = child(b, !0), S = sibling(x), C = (e) => {
		var n = text$2();
		template_effect((e) => set_text(n, ` · ${e ?? ""}`), [() => t("simulated")]), append(e, n);
	};
	if_block(S, (e) => {
		n.ask.network === "eip155:4020402" && e(C);
	}), reset(b);
	var w = sibling(b, 2), T = only_child(w, !0), E = sibling(w), D = only_child(child(E), !0);
	reset(E);
	var O = sibling(E, 2), k = only_child(O, !0), A = sibling(O), j = child(A, !0), M = sibling(j), N = (e) => {
		var i = text$2();
		template_effect(() => set_text(i, `(${n.ask.expected ?? ""})`)), append(e, i);
	};
	if_block(M, (e) => {
		n.ask.expected && e(N);
	});
	var P = sibling(M);
	reset(A), reset(p);
	var F = sibling(p, 2), I = child(F), L = only_child(I, !0), R = sibling(I), z = only_child(R, !0);
	reset(F), reset(o), template_effect((e, a, s, c, d, f, p, m, g, v) => {
		set_attribute(o, "aria-label", e), set_text(l, a), set_text(u, s), set_text(h, c), set_text(_, n.ask.resource_url), set_text(y, d), set_text(x, n.ask.network), set_text(T, f), set_text(D, n.ask.payee), set_text(k, p), set_text(j, n.ask.reason ?? n.ask.code), set_text(P, ` · ${m ?? ""}`), I.disabled = get$1(i), set_text(L, g), R.disabled = get$1(i), set_text(z, v);
	}, [
		() => t("payment"),
		() => t("paymentAsk", {
			amount: usd(n.ask.amount_micro),
			payee: n.ask.payee.slice(0, 14)
		}),
		() => micro(n.ask.amount_micro),
		() => t("resource"),
		() => t("network"),
		() => t("payeeOf"),
		() => t("more"),
		() => moment(n.ask.expires_at),
		() => t("approve"),
		() => t("refuse")
	]), delegated("click", I, () => a("approve")), delegated("click", R, () => a("deny")), append(e, o), pop();
}
delegate(["click"]);
// src/panels/Approval.svelte
var root$14 = from_html("<label> <textarea rows=\"6\" class=\"mono\" spellcheck=\"false\"></textarea></label>"), root_1$13 = from_html("<pre> </pre>"), root_2$11 = from_html("<code> </code>"), root_3$11 = from_html("<p class=\"soft chips\"> <!></p>"), root_4$11 = from_html("<p class=\"soft\"> </p>"), root_5$7 = from_html("<p> <strong> </strong> <span class=\"soft\"> </span></p><!>", 1), root_6$5 = from_html("<p class=\"error-text\" role=\"alert\"> </p>"), root_7$5 = from_html("<label> <input/></label> <div class=\"row\"><button class=\"danger\"> </button><button class=\"quiet\"> </button></div>", 1), root_8$4 = from_html("<div class=\"row\"><button> </button><button class=\"quiet\"> </button></div>"), root_9$4 = from_html("<div class=\"row wrap\"><button class=\"small\"> </button> <button class=\"quiet small\"> </button> <button class=\"quiet small\"> </button> <button class=\"quiet small\"> </button> <button class=\"quiet small\"> </button></div>"), root_10$3 = from_html("<div class=\"approval\" role=\"group\"><p><strong> </strong> <span> </span></p> <!> <!> <!> <!> <!> <!> <!></div>");
function Approval(e, n) {
	push$1(n, !0);
	let i = prop(n, "rule", 3, "");
	prop(n, "view", 3, null);
	let a = state(!1), o = state(!1), s = state(""), c = state(""), l = state(!1), u = state(""), d = state(proxy(Date.now())), f = user_derived(() => (n.call.expires_us ?? ui.waiting.find((e) => e.approval_id === n.call.approval_id)?.expires_us ?? 0) / 1e3), p = user_derived(() => typeof n.call.arguments == "object" && n.call.arguments !== null ? n.call.arguments : {}), m = user_derived(() => [
		get$1(p).price_micro,
		get$1(p).amount_micro,
		get$1(p).max_price_micro
	].find((e) => typeof e == "number" && e > 0));
	user_effect(() => {
		let e = setInterval(() => set(d, Date.now(), !0), 1e3);
		return () => clearInterval(e);
	});
	async function h(e) {
		if (!get$1(l)) {
			set(l, !0);
			try {
				await send("POST", at(n.call.session_id, `/approvals/${encodeURIComponent(n.call.approval_id)}`, { branch: n.call.branch }), e);
			} catch (e) {
				e instanceof ApiError && (e.status === 409 || e.status === 404) ? set(u, `${t("alreadyDecided")} ${e.message}`) : ui.problem = e, set(l, !1);
			}
			ui.readInbox();
		}
	}
	function g() {
		try {
			h({
				approved: !0,
				arguments: JSON.parse(get$1(s))
			});
		} catch {
			set(u, t("notJson"), !0);
		}
	}
	var _ = root_10$3(), v = child(_), y = child(v), b = only_child(y, !0), x = sibling(y, 2), S = only_child(x);
	reset(v);
	var C = sibling(v, 2), w = (e) => {
		var n = root$14(), i = child(n, !0), a = sibling(i);
		remove_textarea_child(a), reset(n), template_effect((e) => set_text(i, e), [() => t("editArguments")]), bind_value(a, () => get$1(s), (e) => set(s, e)), append(e, n);
	}, T = (e) => {
		var i = root_1$13(), a = only_child(i, !0);
		template_effect((e) => set_text(a, e), [() => pretty(n.call.arguments)]), append(e, i);
	};
	if_block(C, (e) => {
		get$1(a) ? e(w) : e(T, -1);
	});
	var E = sibling(C, 2), D = (e) => {
		var i = root_3$11(), a = child(i);
		each(sibling(a), 17, () => n.call.capabilities, index, (e, n) => {
			var i = root_2$11(), a = only_child(i, !0);
			template_effect(() => set_text(a, get$1(n))), append(e, i);
		}), reset(i), template_effect((e) => set_text(a, `${e ?? ""} `), [() => t("needs")]), append(e, i);
	};
	if_block(E, (e) => {
		n.call.capabilities?.length && e(D);
	});
	var O = sibling(E, 2), k = (e) => {
		var n = root_4$11(), a = only_child(n, !0);
		template_effect((e) => set_text(a, e), [() => t("whyAsked", { rule: i() })]), append(e, n);
	};
	if_block(O, (e) => {
		i() && e(k);
	});
	var A = sibling(O, 2), j = (e) => {
		var n = root_5$7(), i = first_child(n), a = child(i), o = sibling(a), s = only_child(o, !0), c = only_child(sibling(o, 2), !0);
		reset(i);
		var l = sibling(i), u = (e) => {
			Ruler(e, {
				get policy() {
					return ui.about.payments;
				},
				get amount() {
					return get$1(m);
				}
			});
		};
		if_block(l, (e) => {
			ui.about && e(u);
		}), template_effect((e, n, i) => {
			set_text(a, `${e ?? ""}: `), set_text(s, n), set_text(c, i);
		}, [
			() => t("price"),
			() => usd(get$1(m)),
			() => micro(get$1(m))
		]), append(e, n);
	};
	if_block(A, (e) => {
		get$1(m) && e(j);
	});
	var M = sibling(A, 2), N = (e) => {
		var n = root_4$11(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => get$1(f) > get$1(d) ? t("expiresIn", { time: duration(get$1(f) - get$1(d)) }) : t("expired")]), append(e, n);
	};
	if_block(M, (e) => {
		get$1(f) && e(N);
	});
	var P = sibling(M, 2), F = (e) => {
		var n = root_6$5(), i = only_child(n, !0);
		template_effect(() => set_text(i, get$1(u))), append(e, n);
	};
	if_block(P, (e) => {
		get$1(u) && e(F);
	});
	var I = sibling(P, 2), L = (e) => {
		var n = root_7$5(), i = first_child(n), a = child(i, !0), s = sibling(a);
		remove_input_defaults(s), reset(i);
		var u = sibling(i, 2), d = child(u), f = only_child(d, !0), p = sibling(d), m = only_child(p, !0);
		reset(u), template_effect((e, n, i) => {
			set_text(a, e), d.disabled = get$1(l), set_text(f, n), set_text(m, i);
		}, [
			() => t("refuseReason"),
			() => t("refuse"),
			() => t("cancel")
		]), bind_value(s, () => get$1(c), (e) => set(c, e)), delegated("click", d, () => h({
			approved: !1,
			reason: get$1(c)
		})), delegated("click", p, () => set(o, !1)), append(e, n);
	}, R = (e) => {
		var n = root_8$4(), i = child(n), o = only_child(i, !0), s = sibling(i), c = only_child(s, !0);
		reset(n), template_effect((e, n) => {
			i.disabled = get$1(l), set_text(o, e), set_text(c, n);
		}, [() => t("approveEdited"), () => t("cancel")]), delegated("click", i, g), delegated("click", s, () => set(a, !1)), append(e, n);
	}, z = (e) => {
		var i = root_9$4(), c = child(i), u = only_child(c, !0), d = sibling(c, 2), f = only_child(d, !0), p = sibling(d, 2), m = only_child(p, !0), g = sibling(p, 2), _ = only_child(g, !0), v = sibling(g, 2), y = only_child(v, !0);
		reset(i), template_effect((e, n, i, a, o, s, h) => {
			c.disabled = get$1(l), set_text(u, e), d.disabled = get$1(l), set_text(f, n), p.disabled = get$1(l), set_text(m, i), g.disabled = get$1(l), set_attribute(g, "title", a), set_text(_, o), v.disabled = get$1(l), set_attribute(v, "title", s), set_text(y, h);
		}, [
			() => t("approve"),
			() => t("refuse"),
			() => t("editArguments"),
			() => t("allowSessionHint"),
			() => t("allowSession"),
			() => t("approvePauseHint"),
			() => t("approvePause")
		]), delegated("click", c, () => h({ approved: !0 })), delegated("click", d, () => set(o, !0)), delegated("click", p, () => {
			set(s, pretty(n.call.arguments), !0), set(a, !0);
		}), delegated("click", g, () => h({
			approved: !0,
			scope: "session"
		})), delegated("click", v, () => h({
			approved: !0,
			pause_after: !0
		})), append(e, i);
	};
	if_block(I, (e) => {
		get$1(o) ? e(L) : get$1(a) ? e(R, 1) : e(z, -1);
	}), reset(_), template_effect((e, i, a, o) => {
		set_attribute(_, "aria-label", e), set_text(b, i), set_class(x, 1, `tag risk-${n.call.risk ?? ""}`), set_text(S, `${a ?? ""}: ${o ?? ""}`);
	}, [
		() => t("approvalAsk", { tool: n.call.tool_name }),
		() => t("approvalAsk", { tool: n.call.tool_name }),
		() => t("risk"),
		() => term("risk_", n.call.risk)
	]), append(e, _), pop();
}
delegate(["click"]);
// src/panels/ToolCard.svelte
var root$13 = from_html("<article><button class=\"tool-head\"><span class=\"icon-letter\" aria-hidden=\"true\"> </span> <span class=\"tool-name\"> </span> <span class=\"tool-target\"> </span> <span class=\"tool-state\"> <!></span></button> <!> <!> <!></article>");
function ToolCard(e, n) {
	push$1(n, !0);
	let i = [
		[/^(read|list|glob|grep)/, "R"],
		[/^(write|edit)/, "E"],
		[/^bash/, "$"],
		[/http|fetch|pay/, "¤"],
		[/memory|knowledge|search/, "L"],
		[/agent|peer/, "S"],
		[/^mcp/, "M"],
		[/todo|plan/, "P"]
	], a = user_derived(() => i.find(([e]) => e.test(n.entry.label))?.[1] ?? "T"), o = state(""), s = user_derived(() => get$1(o) === `${n.entry.branch}/${n.entry.seq}`), c = user_derived(() => n.view.record(n.entry.seq, n.entry.branch)), l = user_derived(() => get$1(c)?.kind.arguments ?? {}), u = user_derived(() => n.view.state.approvals.find((e) => e.call === n.entry.ref)), d = user_derived(() => n.entry.state === "ok" ? "good" : [
		"error",
		"failed",
		"timeout",
		"refused",
		"expired"
	].includes(n.entry.state) ? "bad" : n.entry.state === "waiting" || n.entry.state === "in_doubt" ? "wait" : n.entry.state === "running" ? "busy" : ""), f = user_derived(() => n.entry.state === "in_doubt" && !offline && n.view.position === null);
	user_effect(() => {
		(get$1(s) || get$1(f)) && parts$1.needPanes();
	});
	let p = user_derived(() => get$1(c) && n.entry.state === "running" ? get$1(c).timestamp : ""), m = state(proxy(Date.now()));
	user_effect(() => {
		if (!get$1(p) || n.view.position !== null) return;
		let e = setInterval(() => set(m, Date.now(), !0), 1e3);
		return () => clearInterval(e);
	});
	var h = root$13(), g = child(h), _ = child(g), v = only_child(_, !0), y = sibling(_, 2), b = only_child(y, !0), x = sibling(y, 2), S = only_child(x, !0), C = sibling(x, 2), w = child(C, !0), T = sibling(w), E = (e) => {
		var i = text$2();
		template_effect((e) => set_text(i, ` · ${e ?? ""}`), [() => duration(n.entry.ms)]), append(e, i);
	}, D = (e) => {
		var n = text$2();
		template_effect((e) => set_text(n, ` · ${e ?? ""}`), [() => duration(Math.max(0, get$1(m) - Date.parse(get$1(p))))]), append(e, n);
	};
	if_block(T, (e) => {
		n.entry.ms ? e(E) : get$1(p) && n.view.position === null && e(D, 1);
	}), reset(C), reset(g);
	var O = sibling(g, 2), k = (e) => {
		var i = comment();
		key(first_child(i), () => get$1(u).id, (e) => {
			{
				let i = user_derived(() => ({
					session_id: n.view.id,
					branch: n.view.branch,
					approval_id: get$1(u).id,
					tool_name: get$1(u).tool,
					arguments: get$1(l),
					risk: get$1(u).risk,
					capabilities: get$1(u).capabilities,
					asked_us: Date.parse(get$1(u).asked) * 1e3
				})), a = user_derived(() => n.entry.why || n.entry.rule);
				Approval(e, {
					get view() {
						return n.view;
					},
					get call() {
						return get$1(i);
					},
					get rule() {
						return get$1(a);
					}
				});
			}
		}), append(e, i);
	};
	if_block(O, (e) => {
		get$1(u) && !offline && n.view.position === null && e(k);
	});
	var A = sibling(O, 2), j = (e) => {
		var i = comment();
		component(first_child(i), () => parts$1.panes.Doubt, (e, i) => {
			i(e, {
				get view() {
					return n.view;
				},
				get call() {
					return n.entry.ref;
				}
			});
		}), append(e, i);
	};
	if_block(A, (e) => {
		get$1(f) && parts$1.panes && e(j);
	});
	var M = sibling(A, 2), N = (e) => {
		var i = comment(), a = first_child(i), o = (e) => {
			var i = comment();
			component(first_child(i), () => parts$1.panes.ToolBody, (e, i) => {
				i(e, {
					get view() {
						return n.view;
					},
					get entry() {
						return n.entry;
					},
					get asked() {
						return get$1(c);
					},
					get given() {
						return get$1(l);
					}
				});
			}), append(e, i);
		};
		if_block(a, (e) => {
			parts$1.panes && e(o);
		}), append(e, i);
	};
	if_block(M, (e) => {
		get$1(s) && e(N);
	}), reset(h), template_effect((e, i) => {
		set_class(h, 1, `tool ${get$1(d) ?? ""}`), set_attribute(h, "aria-label", `${e ?? ""} ${n.entry.label ?? ""}`), set_attribute(g, "aria-expanded", get$1(s)), set_text(v, get$1(a)), set_text(b, n.entry.label), set_text(S, n.entry.detail), set_text(w, i);
	}, [() => t("tool"), () => term("state_", n.entry.state)]), delegated("click", g, () => set(o, get$1(s) ? "" : `${n.entry.branch}/${n.entry.seq}`, !0)), append(e, h), pop();
}
delegate(["click"]);
// src/panels/Chat.svelte
var root$12 = from_html("<button class=\"quiet small center\"> </button>"), root_1$12 = from_html("<li> </li>"), root_2$10 = from_html("<details><summary><span class=\"tag wait\"> </span> </summary><ul class=\"plain-list small-text\"></ul></details>"), root_3$10 = from_html("<button class=\"quiet small\"> </button>"), root_4$10 = from_html("<div class=\"demo-note\"><p><span class=\"tag\"> </span> </p> <!> <!></div>"), root_5$6 = from_html("<div class=\"empty\"><h2> </h2><p> </p></div>"), root_6$4 = from_html("<span class=\"tag\"> </span>"), root_7$4 = from_html("<p class=\"chips small-text\"> <!></p>"), root_8$3 = from_html("<div class=\"text pre\"> </div><!>", 1), root_9$3 = from_html("<article class=\"turn user\"><div class=\"who\"><span> </span><span class=\"turn-tools\"><!> <button class=\"quiet small seq\"> </button></span></div> <!></article>"), root_10$2 = from_html("<article class=\"turn agent\"><!></article>"), root_11$1 = from_html("<div class=\"pre\"> </div>"), root_12$1 = from_html("<p class=\"soft\"> </p>"), root_13 = from_html("<details class=\"thinking\"><summary> </summary><!></details>"), root_14 = from_html("<span class=\"soft\"> </span>"), root_15 = from_html("<!> <p class=\"notice end\"><span> </span> <!></p>", 1), root_16 = from_html("<button class=\"small\"> </button>"), root_17 = from_html("<article class=\"offer\"><h3> </h3><p> </p><blockquote> </blockquote><!></article>"), root_18 = from_html("<p><button class=\"quiet small seq\"> </button> </p>"), root_19 = from_html("<article class=\"turn agent writing\"><!><span class=\"caret\" aria-hidden=\"true\"></span></article>"), root_20 = from_html("<button class=\"small jump\"> </button>"), root_21 = from_html("<div class=\"chat\" role=\"log\" aria-live=\"off\" tabindex=\"-1\"><!> <!> <!> <!> <!> <!></div> <!> <!>", 1);
function Chat(e, n) {
	push$1(n, !0);
	let i = state(void 0), a = state(40), o = !0, s = state(0), c = state([]), l = user_derived(() => [...get$1(c), ...n.view.settled.entries]), u = user_derived(() => get$1(l).slice(-get$1(a))), d = user_derived(() => n.view.settled.dropped - get$1(c).length + get$1(l).length - get$1(u).length), f = user_derived(() => get$1(l).length - get$1(u).length + (get$1(c).length ? 0 : n.view.settled.dropped));
	user_effect(() => {
		n.view.settled, n.view.writing, n.view.arrived, ui.payments, tick().then(() => {
			get$1(i) && (o ? get$1(i).scrollTop = get$1(i).scrollHeight : set(s, n.view.newSince || get$1(s), !0));
		});
	});
	function p() {
		get$1(i) && (o = get$1(i).scrollHeight - get$1(i).scrollTop - get$1(i).clientHeight < 48, o && set(s, 0));
	}
	async function m() {
		let e = get$1(i)?.scrollHeight ?? 0;
		if (o = !1, get$1(a) < get$1(l).length) set(a, get$1(a) + 40);
		else if (!offline && n.view.settled.dropped) {
			let e = get$1(l)[0];
			e && e.seq > 1 && (await ui.attempt(async () => {
				let i = await get(at(n.view.id, "/workspace/state", {
					branch: e.branch,
					at: e.seq - 1
				}));
				set(c, [...i.state.entries, ...get$1(c)]);
			}), set(a, get$1(a) + 40));
		}
		await tick(), get$1(i) && (get$1(i).scrollTop += get$1(i).scrollHeight - e);
	}
	let h = (e, i = "content") => {
		let a = n.view.record(e.seq, e.branch)?.kind[i];
		return typeof a == "string" ? a : e.detail;
	};
	function g(e) {
		return (n.view.record(e.seq, e.branch)?.kind.data?.blocks ?? []).map((e) => e.block?.text ?? "").filter(Boolean).join("\n\n");
	}
	let _ = (e) => {
		let n = `notice_${e.ref}`, i = term("", n, { d: e.detail });
		return i === n ? `${e.ref} ${e.detail}` : i;
	}, v = (e) => /Errored|ErrorRaised|violation|CircuitBreaker|in_doubt/.test(e.ref), y = (e) => ui.attempt(async () => {
		let i = await send("POST", `/workspace/demos/${encodeURIComponent(e)}/copies`, {
			name: n.view.state.session.name || e,
			model: null
		});
		i && route.go(i.session_id);
	}), b = (e) => n.view.settled.offers.find((n) => n.seq === e), x = (e) => n.view.settled.runs.find((n) => n.id === e);
	var S = root_21(), C = first_child(S), w = child(C), T = (e) => {
		var n = root$12(), i = only_child(n);
		template_effect((e, n) => set_text(i, `${e ?? ""} (${n ?? ""})`), [() => t("older"), () => whole(get$1(f))]), delegated("click", n, m), append(e, n);
	};
	if_block(w, (e) => {
		get$1(f) > 0 && e(T);
	});
	var E = sibling(w, 2), D = (e) => {
		let i = user_derived(() => n.view.state.demo);
		var a = root_4$10(), o = child(a), s = child(o), c = only_child(s, !0), l = sibling(s);
		reset(o);
		var u = sibling(o, 2), d = (e) => {
			var n = root_2$10(), a = child(n), o = child(a), s = only_child(o, !0), c = sibling(o);
			reset(a);
			var l = sibling(a);
			each(l, 21, () => get$1(i).simulated, index, (e, n) => {
				var i = root_1$12(), a = only_child(i, !0);
				template_effect(() => set_text(a, get$1(n))), append(e, i);
			}), reset(l), reset(n), template_effect((e, n) => {
				set_text(s, e), set_text(c, ` ${n ?? ""}`);
			}, [() => t("simulatedTag"), () => t("simulatedWhat")]), append(e, n);
		};
		if_block(u, (e) => {
			get$1(i).simulated.length && e(d);
		});
		var f = sibling(u, 2), p = (e) => {
			var n = root_3$10(), a = only_child(n, !0);
			template_effect((e) => set_text(a, e), [() => t("makeMine")]), delegated("click", n, () => y(get$1(i).slug)), append(e, n);
		};
		if_block(f, (e) => {
			!offline && get$1(i).how !== "copy" && e(p);
		}), reset(a), template_effect((e) => {
			set_text(c, get$1(i).slug), set_text(l, ` ${e ?? ""}`);
		}, [() => t(get$1(i).how === "recording" ? "demoRecording" : get$1(i).how === "copy" ? "demoCopy" : "demoRun", { slug: get$1(i).slug })]), append(e, a);
	};
	if_block(E, (e) => {
		n.view.state.demo && e(D);
	});
	var O = sibling(E, 2), k = (e) => {
		var n = root_5$6(), i = child(n), a = only_child(i, !0), o = only_child(sibling(i), !0);
		reset(n), template_effect((e, n) => {
			set_text(a, e), set_text(o, n);
		}, [() => t("nothingYet"), () => t("startHint")]), append(e, n);
	};
	if_block(O, (e) => {
		n.view.opened && !get$1(l).length && e(k);
	});
	var A = sibling(O, 2);
	each(A, 19, () => get$1(u), (e, n) => ((get$1(d) + n) % get$1(a) + get$1(a)) % get$1(a), (e, i) => {
		var a = comment(), o = first_child(a), s = (e) => {
			var a = root_9$3(), o = child(a), s = child(o), c = only_child(s, !0), l = sibling(s), u = child(l), d = (e) => {
				var n = root_3$10(), a = only_child(n, !0);
				template_effect((e) => set_text(a, e), [() => t("editResend")]), delegated("click", n, () => ui.branchFrom(get$1(i).seq - 1, h(get$1(i)))), append(e, n);
			};
			if_block(u, (e) => {
				!offline && get$1(i).branch === n.view.branch && e(d);
			});
			var f = sibling(u, 2), p = only_child(f);
			reset(l), reset(o);
			var m = sibling(o, 2), g = (e) => {
				let n = user_derived(() => withoutAttachments(h(get$1(i))));
				var a = root_8$3(), o = first_child(a), s = only_child(o, !0), c = sibling(o), l = (e) => {
					var i = root_7$4(), a = child(i);
					each(sibling(a), 17, () => get$1(n).names, index, (e, n) => {
						var i = root_6$4(), a = only_child(i, !0);
						template_effect(() => set_text(a, get$1(n))), append(e, i);
					}), reset(i), template_effect((e) => set_text(a, `${e ?? ""}: `), [() => t("attached")]), append(e, i);
				};
				if_block(c, (e) => {
					get$1(n).names.length && e(l);
				}), template_effect(() => set_text(s, get$1(n).text)), append(e, a);
			};
			if_block(m, (e) => {
				e(g);
			}), reset(a), template_effect((e, n, o) => {
				set_attribute(a, "aria-label", e), set_text(c, n), set_attribute(f, "title", o), set_text(p, `#${get$1(i).seq ?? ""}`);
			}, [
				() => t("you"),
				() => t("you"),
				() => t("inJournal")
			]), delegated("click", f, () => toJournal(n.view, get$1(i))), append(e, a);
		}, c = (e) => {
			var n = root_10$2(), a = child(n);
			{
				let e = user_derived(() => h(get$1(i)));
				Markdown(a, { get text() {
					return get$1(e);
				} });
			}
			reset(n), template_effect((e) => set_attribute(n, "aria-label", e), [() => t("agent")]), append(e, n);
		}, l = (e) => {
			let n = user_derived(() => g(get$1(i)));
			var a = root_13(), o = child(a), s = only_child(o, !0), c = sibling(o), l = (e) => {
				var i = root_11$1(), a = only_child(i, !0);
				template_effect(() => set_text(a, get$1(n))), append(e, i);
			}, u = (e) => {
				var n = root_12$1(), i = only_child(n, !0);
				template_effect((e) => set_text(i, e), [() => t("noReasoning")]), append(e, n);
			};
			if_block(c, (e) => {
				get$1(n) ? e(l) : e(u, -1);
			}), reset(a), template_effect((e) => set_text(s, e), [() => t("thinking")]), append(e, a);
		}, u = (e) => {
			ToolCard(e, {
				get view() {
					return n.view;
				},
				get entry() {
					return get$1(i);
				}
			});
		}, d = (e) => {
			{
				let a = user_derived(() => n.view.settled.payments.find((e) => e.id === get$1(i).ref));
				PaymentCard(e, { get payment() {
					return get$1(a);
				} });
			}
		}, f = (e) => {
			let n = user_derived(() => x(get$1(i).ref));
			var a = root_15(), o = first_child(a), s = (e) => {
				var n = root_10$2(), a = child(n);
				{
					let e = user_derived(() => h(get$1(i), "final_answer"));
					Markdown(a, { get text() {
						return get$1(e);
					} });
				}
				reset(n), append(e, n);
			};
			if_block(o, (e) => {
				get$1(i).detail && e(s);
			});
			var c = sibling(o, 2), l = child(c), u = only_child(l, !0), d = sibling(l, 2), f = (e) => {
				var i = root_14(), a = only_child(i);
				template_effect((e, n, i) => set_text(a, `${e ?? ""}${n ?? ""} · ${i ?? ""}`), [
					() => t("endFigures", {
						steps: get$1(n).steps,
						calls: get$1(n).calls,
						tokens: whole(get$1(n).prompt + get$1(n).completion)
					}),
					() => get$1(n).steps > get$1(n).uncosted ? ` · ${usd(get$1(n).cost_micro)}` : "",
					() => duration(Date.parse(get$1(n).ended) - Date.parse(get$1(n).started))
				]), append(e, i);
			};
			if_block(d, (e) => {
				get$1(n) && e(f);
			}), reset(c), template_effect((e) => {
				set_attribute(c, "data-reason", get$1(i).label), set_text(u, e);
			}, [() => t("endReason", { reason: get$1(i).label })]), append(e, a);
		}, p = (e) => {
			let n = user_derived(() => b(get$1(i).seq));
			var a = comment(), o = first_child(a), s = (e) => {
				var i = root_17(), a = child(i), o = only_child(a, !0), s = sibling(a), c = only_child(s, !0), l = sibling(s), u = only_child(l, !0), d = sibling(l), f = (e) => {
					var i = root_16(), a = only_child(i);
					template_effect((e) => set_text(a, `↳ ${e ?? ""}`), [() => t("offerBranch", { n: get$1(n).before })]), delegated("click", i, () => ui.branchFrom(Math.max(0, get$1(n).before - 1), get$1(n).message)), append(e, i);
				};
				if_block(d, (e) => {
					offline || e(f);
				}), reset(i), template_effect(() => {
					set_attribute(i, "aria-label", get$1(n).title), set_text(o, get$1(n).title), set_text(c, get$1(n).reason), set_text(u, get$1(n).message);
				}), append(e, i);
			};
			if_block(o, (e) => {
				get$1(n) && e(s);
			}), append(e, a);
		}, m = user_derived(() => get$1(i).ref === "demo.branch_offered" && b(get$1(i).seq)), y = (e) => {
			var a = root_18();
			let o;
			var s = child(a), c = only_child(s), l = sibling(s);
			reset(a), template_effect((e, n) => {
				o = set_class(a, 1, "notice", null, o, { bad: e }), set_text(c, `#${get$1(i).seq ?? ""}`), set_text(l, ` ${n ?? ""}`);
			}, [() => v(get$1(i)), () => _(get$1(i))]), delegated("click", s, () => toJournal(n.view, get$1(i))), append(e, a);
		};
		if_block(o, (e) => {
			get$1(i).kind === "user" ? e(s) : get$1(i).kind === "text" ? e(c, 1) : get$1(i).kind === "thinking" ? e(l, 2) : get$1(i).kind === "tool" ? e(u, 3) : get$1(i).kind === "payment" ? e(d, 4) : get$1(i).kind === "end" ? e(f, 5) : get$1(m) ? e(p, 6) : e(y, -1);
		}), append(e, a);
	});
	var j = sibling(A, 2), M = (e) => {
		var i = comment();
		each(first_child(i), 17, () => ui.payments.filter((e) => e.session_id === n.view.id), (e) => e.ticket_id, (e, n) => {
			PaymentQuestion(e, { get ask() {
				return get$1(n);
			} });
		}), append(e, i);
	};
	if_block(j, (e) => {
		n.view.position === null && e(M);
	});
	var N = sibling(j, 2), P = (e) => {
		var i = root_19();
		Markdown(child(i), { get text() {
			return n.view.writing.text;
		} }), next(), reset(i), append(e, i);
	};
	if_block(N, (e) => {
		n.view.writing && n.view.position === null && e(P);
	}), reset(C), bind_this(C, (e) => set(i, e), () => get$1(i));
	var F = sibling(C, 2), I = (e) => {
		var n = root_20(), a = only_child(n);
		template_effect((e) => set_text(a, `${e ?? ""} ↓`), [() => t("newEvents", { n: get$1(s) })]), delegated("click", n, () => {
			o = !0, set(s, 0), get$1(i) && (get$1(i).scrollTop = get$1(i).scrollHeight);
		}), append(e, n);
	};
	if_block(F, (e) => {
		get$1(s) > 0 && e(I);
	}), Source(sibling(F, 2), {
		get view() {
			return n.view;
		},
		events: "UserMessage, Message, ToolCall*, Approval*, Run*",
		get seq() {
			return n.view.settled.seq;
		}
	}), template_effect((e) => set_attribute(C, "aria-label", e), [() => t("chat")]), event("scroll", C, p), append(e, S), pop();
}
delegate(["click"]);
// src/panels/commands.ts
function commands(e) {
	let n = (n) => () => void ui.attempt(() => send("POST", at(e.id, `/${n}`, { branch: e.branch }))), i = [
		{
			name: "files",
			label: t("files"),
			act: () => route.set({
				mid: "files",
				pane: "mid"
			})
		},
		{
			name: "journal",
			label: t("journal"),
			act: () => route.set({
				mid: "journal",
				pane: "mid"
			})
		},
		{
			name: "timeline",
			label: t("timeline"),
			act: () => route.set({
				mid: "timeline",
				pane: "mid"
			})
		},
		{
			name: "graph",
			label: t("graph"),
			act: () => route.set({
				mid: "graph",
				pane: "mid"
			})
		},
		{
			name: "spaces",
			label: t("spaces"),
			act: () => route.set({
				mid: "spaces",
				pane: "mid"
			})
		},
		...[
			"preview",
			"trace",
			"judge",
			"context",
			"autonomic",
			"ledger",
			"identity"
		].map((e) => ({
			name: e,
			label: t(e),
			act: () => route.set({
				right: e,
				pane: "right"
			})
		})),
		{
			name: "live",
			label: t("followLive"),
			act: () => e.follow()
		},
		{
			name: "first",
			label: t("first"),
			act: () => void e.seek(1)
		},
		{
			name: "play",
			label: t("play"),
			act: () => e.play()
		},
		{
			name: "share",
			label: t("share"),
			act: () => void navigator.clipboard?.writeText(location.href).then(() => ui.say(t("linkCopied")))
		},
		{
			name: "preferences",
			label: t("preferences"),
			act: () => ui.overlay = "preferences"
		},
		{
			name: "keys",
			label: t("shortcuts"),
			act: () => ui.overlay = "shortcuts"
		}
	];
	return offline ? i : [
		...i,
		{
			name: "inbox",
			label: t("inbox"),
			act: () => ui.overlay = "inbox"
		},
		{
			name: "branches",
			label: t("branches"),
			act: () => ui.overlay = "branches"
		},
		{
			name: "branch",
			label: t("branchHere"),
			act: () => ui.branchFrom(e.shown)
		},
		{
			name: "compare",
			label: t("compare"),
			act: () => ui.overlay = "compare"
		},
		{
			name: "pause",
			label: t("hold"),
			act: n("pause")
		},
		{
			name: "continue",
			label: t("goOn"),
			act: n("continue")
		},
		{
			name: "stop",
			label: t("stop"),
			act: n("cancel")
		},
		{
			name: "export",
			label: t("exportHtml"),
			act: () => location.assign(at(e.id, "/workspace/export", { branch: e.branch }))
		},
		{
			name: "sessions",
			label: t("sessions"),
			act: () => route.go("")
		}
	];
}
// src/panels/Composer.svelte
var root$11 = from_html("<li><span class=\"tag\"> </span> <span class=\"grow cut\"> </span> <button type=\"button\" class=\"quiet small\"> </button><button type=\"button\" class=\"quiet small\"> </button></li>"), root_1$11 = from_html("<ul class=\"queue\"></ul>"), root_2$9 = from_html("<button type=\"button\"> <span class=\"soft\"> </span></button>"), root_3$9 = from_html("<div class=\"hints\" role=\"group\"></div>"), root_4$9 = from_html("<p class=\"soft small-text\"> </p>"), root_5$5 = from_html("<li><span class=\"tag\"> </span><button type=\"button\" class=\"quiet small icon\">✕</button></li>"), root_6$3 = from_html("<ul class=\"files-along\"></ul>"), root_7$3 = from_html("<p class=\"error-text small-text\" role=\"alert\"> </p>"), root_8$2 = from_html("<label><input type=\"radio\" name=\"steering\"/> </label>"), root_9$2 = from_html("<div class=\"row\"><div class=\"segmented\" role=\"radiogroup\"></div></div>"), root_10$1 = from_html("<button type=\"button\" class=\"quiet\"> </button>"), root_11 = from_html("<!> <button type=\"button\" class=\"quiet danger\"> </button>", 1), root_12 = from_html("<form><!> <!> <!> <!> <!> <label class=\"sr\" for=\"composer\"> </label> <textarea id=\"composer\" rows=\"2\"></textarea> <!> <div class=\"row\"><!> <button type=\"button\" class=\"quiet icon\">+</button> <input type=\"file\" multiple=\"\" hidden=\"\"/> <span class=\"grow\"></span> <button type=\"submit\"> </button></div></form>");
function Composer(e, n) {
	push$1(n, !0);
	let i = [], a = user_derived(() => n.view.state), o = user_derived(() => get$1(a).run !== ""), s = state(""), c = state("followup"), l = state(!1), u = state([]), d = state(""), f = state(!1), p = 0, m = "", h = state(void 0), g = state(void 0), _ = state([]), v = -1, y = user_derived(() => `life.draft.${n.view.id}`);
	user_effect(() => {
		try {
			set(s, localStorage.getItem(get$1(y)) ?? "", !0);
		} catch {
			set(s, "");
		}
	});
	function b() {
		try {
			get$1(s) ? localStorage.setItem(get$1(y), get$1(s)) : localStorage.removeItem(get$1(y));
		} catch {}
	}
	let x = user_derived(() => /(?:^|\s)@([^\s]*)$/.exec(get$1(s))?.[1]?.toLowerCase());
	user_effect(() => {
		get$1(x) !== void 0 && v !== get$1(a).totals.files && (v = get$1(a).totals.files, get(at(n.view.id, "/files", { branch: n.view.branch })).then((e) => set(_, e.files.map((e) => e.path)), () => void 0));
	});
	let S = user_derived(() => {
		if (get$1(s).startsWith("/")) return commands(n.view).filter((e) => e.name.startsWith(get$1(s).slice(1).toLowerCase())).slice(0, 8).map((e) => ({
			label: `/${e.name}`,
			about: e.label,
			act: () => {
				set(s, ""), b(), e.act();
			}
		}));
		if (get$1(x) === void 0) return [];
		let e = get$1(a).files.filter((e) => e.op !== "delete").map((e) => e.path).reverse();
		return [...new Set([...e, ...get$1(_)])].filter((e) => e.toLowerCase().includes(get$1(x))).slice(0, 8).map((e) => ({
			label: e,
			about: "",
			act: () => {
				set(s, get$1(s).replace(/@[^\s]*$/, `${e} `), !0), b(), get$1(h)?.focus();
			}
		}));
	}), C = state(0);
	user_effect(() => {
		get$1(S).length, set(C, 0);
	});
	async function w(e) {
		set(d, "");
		for (let n of e) {
			if (n.size > 65536) {
				set(d, t("fileTooLarge", {
					name: n.name,
					most: bytes(MOST_BYTES)
				}), !0);
				continue;
			}
			let e = await attachment(n);
			if (!e) set(d, t("fileNotText", { name: n.name }), !0);
			else {
				if (get$1(u).length >= 20 || get$1(u).reduce((e, n) => e + n.bytes, e.bytes) > 131072) {
					set(d, t("filesTooMany", {
						n: 20,
						most: bytes(MOST_BYTES_TOGETHER)
					}), !0);
					return;
				}
				set(u, [...get$1(u), e]);
			}
		}
	}
	async function T() {
		let e = get$1(s).trim();
		if (!e && !get$1(u).length || get$1(l)) return;
		if (e.startsWith("/") && get$1(S)[get$1(C)]) return get$1(S)[get$1(C)]?.act();
		set(l, !0);
		let i = get$1(u).length ? await withAttachments(e || get$1(u).map((e) => e.name).join(", "), get$1(u)) : e, a = await ui.attempt(() => get$1(o) ? send("POST", at(n.view.id, "/messages", { branch: n.view.branch }), {
			message: i,
			steering: get$1(c)
		}) : send("POST", at(n.view.id, "/runs"), {
			objective: i,
			wait: !1,
			branch: n.view.branch
		}, { "idempotency-key": crypto.randomUUID() }));
		set(l, !1), a && (set(s, m = "", !0), set(u, []), p = 0, b(), n.view.position !== null && n.view.follow());
	}
	function E(e) {
		let i = get$1(a).entries.filter((e) => e.kind === "user"), o = Math.max(0, Math.min(i.length, p + e));
		if (o === p) return !1;
		p === 0 && (m = get$1(s)), p = o;
		let c = i.at(-p), l = c && p ? n.view.record(c.seq, c.branch)?.kind.content : void 0;
		return set(s, p === 0 ? m : withoutAttachments(typeof l == "string" ? l : c?.detail ?? "").text, !0), !0;
	}
	function D(e) {
		let n = e.target, i = e.key === "ArrowDown" ? 1 : e.key === "ArrowUp" ? -1 : 0;
		get$1(S).length && (i || e.key === "Tab") && !e.shiftKey ? (e.preventDefault(), i ? set(C, (get$1(C) + i + get$1(S).length) % get$1(S).length) : get$1(S)[get$1(C)]?.act()) : e.key === "Enter" && !e.shiftKey && !e.isComposing ? (e.preventDefault(), get$1(S).length && get$1(x) !== void 0 ? get$1(S)[get$1(C)]?.act() : T()) : e.key === "ArrowUp" && n.selectionStart === 0 && E(1) || e.key === "ArrowDown" && p > 0 && n.selectionEnd === get$1(s).length && E(-1) ? e.preventDefault() : e.key === "Escape" && n.blur();
	}
	function O(e) {
		set(f, !1), e.dataTransfer?.files.length && (e.preventDefault(), w(e.dataTransfer.files));
	}
	function k(e) {
		let n = [...e.clipboardData?.files ?? []];
		n.length && (e.preventDefault(), w(n));
	}
	let A = (e) => ui.attempt(() => send("POST", at(n.view.id, `/${e}`, { branch: n.view.branch }))), j = (e) => ui.attempt(() => send("DELETE", at(n.view.id, `/queue/${encodeURIComponent(e)}`, { branch: n.view.branch })));
	async function M(e) {
		await j(e.id) && (set(s, [e.message, get$1(s)].filter(Boolean).join("\n\n"), !0), [
			"followup",
			"steer",
			"interrupt"
		].includes(e.mode) && set(c, e.mode, !0), b(), get$1(h)?.focus());
	}
	var N = root_12();
	let P;
	var F = child(N), I = (e) => {
		var n = root_1$11();
		each(n, 21, () => get$1(a).queue, (e) => e.id, (e, n) => {
			var i = root$11(), a = child(i), o = only_child(a, !0), s = sibling(a, 2), c = only_child(s, !0), l = sibling(s, 2), u = only_child(l, !0), d = sibling(l), f = only_child(d, !0);
			reset(i), template_effect((e, n, i, a) => {
				set_text(o, e), set_text(c, n), set_text(u, i), set_text(f, a);
			}, [
				() => get$1(n).mode === "steer" ? t("steerNow") : get$1(n).mode === "interrupt" ? t("interrupt") : t("after"),
				() => withoutAttachments(get$1(n).message).text,
				() => t("editQueued"),
				() => t("withdraw")
			]), delegated("click", l, () => M(get$1(n))), delegated("click", d, () => j(get$1(n).id)), append(e, i);
		}), reset(n), template_effect((e) => set_attribute(n, "aria-label", e), [() => t("queued")]), append(e, n);
	};
	if_block(F, (e) => {
		get$1(a).queue.length && n.view.position === null && e(I);
	});
	var L = sibling(F, 2), R = (e) => {
		var n = root_3$9();
		each(n, 21, () => get$1(S), index, (e, n, i) => {
			var a = root_2$9();
			let o;
			var s = child(a), c = only_child(sibling(s), !0);
			reset(a), template_effect(() => {
				o = set_class(a, 1, "quiet small", null, o, { lit: i === get$1(C) }), set_text(s, `${get$1(n).label ?? ""} `), set_text(c, get$1(n).about);
			}), delegated("click", a, function(...e) {
				get$1(n).act?.apply(this, e);
			}), append(e, a);
		}), reset(n), template_effect((e) => set_attribute(n, "aria-label", e), [() => t("palette")]), append(e, n);
	};
	if_block(L, (e) => {
		get$1(S).length && e(R);
	});
	var z = sibling(L, 2), B = (e) => {
		var n = root_4$9(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("notLive")]), append(e, n);
	};
	if_block(z, (e) => {
		n.view.position !== null && e(B);
	});
	var V = sibling(z, 2), H = (e) => {
		var n = root_6$3();
		each(n, 21, () => get$1(u), index, (e, n, i) => {
			var a = root_5$5(), o = child(a), s = only_child(o), c = sibling(o);
			reset(a), template_effect((e, i) => {
				set_text(s, `${get$1(n).name ?? ""} · ${e ?? ""}`), set_attribute(c, "aria-label", i);
			}, [() => bytes(get$1(n).bytes), () => t("removeFile", { name: get$1(n).name })]), delegated("click", c, () => set(u, get$1(u).filter((e, n) => n !== i))), append(e, a);
		}), reset(n), template_effect((e) => set_attribute(n, "aria-label", e), [() => t("attached")]), append(e, n);
	};
	if_block(V, (e) => {
		get$1(u).length && e(H);
	});
	var U = sibling(V, 2), W = (e) => {
		var n = root_7$3(), i = only_child(n, !0);
		template_effect(() => set_text(i, get$1(d))), append(e, n);
	};
	if_block(U, (e) => {
		get$1(d) && e(W);
	});
	var G = sibling(U, 2), K = only_child(G, !0), q = sibling(G, 2);
	remove_textarea_child(q), bind_this(q, (e) => set(h, e), () => get$1(h));
	var J = sibling(q, 2), ee = (e) => {
		var n = root_9$2(), a = child(n);
		each(a, 21, () => [
			["followup", t("after")],
			["steer", t("steerNow")],
			["interrupt", t("interrupt")]
		], ([e, n]) => e, (e, n) => {
			var a = user_derived(() => to_array(get$1(n), 2));
			let o = () => get$1(a)[0], s = () => get$1(a)[1];
			var l = root_8$2();
			let u;
			var d = child(l);
			remove_input_defaults(d);
			var f, p = sibling(d, 1, !0);
			reset(l), template_effect(() => {
				u = set_class(l, 1, "", null, u, { on: get$1(c) === o() }), f !== (f = o()) && (d.value = (d.__value = f) ?? ""), set_text(p, s());
			}), bind_group(i, [], d, () => (o(), get$1(c)), (e) => set(c, e)), append(e, l);
		}), reset(a), reset(n), template_effect((e) => set_attribute(a, "aria-label", e), [() => t("whileRunning")]), append(e, n);
	};
	if_block(J, (e) => {
		get$1(o) && n.view.position === null && e(ee);
	});
	var Y = sibling(J, 2), X = child(Y), te = (e) => {
		var n = root_11(), i = first_child(n), o = (e) => {
			var n = root_10$1(), i = only_child(n, !0);
			template_effect((e) => set_text(i, e), [() => t("goOn")]), delegated("click", n, () => A("continue")), append(e, n);
		}, s = (e) => {
			var n = root_10$1(), i = only_child(n, !0);
			template_effect((e, a) => {
				set_attribute(n, "title", e), set_text(i, a);
			}, [() => t("holdHint"), () => t("hold")]), delegated("click", n, () => A("pause")), append(e, n);
		};
		if_block(i, (e) => {
			get$1(a).held ? e(o) : e(s, -1);
		});
		var c = sibling(i, 2), l = only_child(c, !0);
		template_effect((e, n) => {
			set_attribute(c, "title", e), set_text(l, n);
		}, [() => t("stopHint"), () => t("stop")]), delegated("click", c, () => A("cancel")), append(e, n);
	};
	if_block(X, (e) => {
		get$1(o) && n.view.position === null && e(te);
	});
	var Z = sibling(X, 2), Q = sibling(Z, 2);
	bind_this(Q, (e) => set(g, e), () => get$1(g));
	var $ = sibling(Q, 4), ne = only_child($, !0);
	reset(Y), reset(N), template_effect((e, n, i, o, s, c) => {
		P = set_class(N, 1, "composer", null, P, { over: get$1(f) }), set_text(K, e), set_attribute(q, "placeholder", n), q.disabled = get$1(a).session.closed || get$1(a).session.merged_into !== "", set_attribute(Z, "aria-label", i), set_attribute(Z, "title", o), Z.disabled = get$1(a).session.closed, $.disabled = s, set_text(ne, c);
	}, [
		() => t("message"),
		() => get$1(f) ? t("dropHere") : t("messageHint"),
		() => t("attach"),
		() => t("attach"),
		() => get$1(l) || !get$1(s).trim() && !get$1(u).length,
		() => t("send")
	]), event("submit", N, (e) => {
		e.preventDefault(), T();
	}), event("dragover", N, (e) => {
		e.dataTransfer?.types.includes("Files") && (e.preventDefault(), set(f, !0));
	}), event("dragleave", N, () => set(f, !1)), event("drop", N, O), delegated("input", q, () => {
		p = 0, b();
	}), delegated("keydown", q, D), event("paste", q, k), bind_value(q, () => get$1(s), (e) => set(s, e)), delegated("click", Z, () => get$1(g)?.click()), delegated("change", Q, () => {
		w([...get$1(g)?.files ?? []]), get$1(g) && (get$1(g).value = "");
	}), append(e, N), pop();
}
delegate([
	"click",
	"input",
	"keydown",
	"change"
]);
// src/panels/Dock.svelte
var root$10 = from_html("<span class=\"hide-narrow\"> </span>"), root_1$10 = from_html("<span class=\"minus\"> </span>"), root_2$8 = from_html("<a class=\"plain hide-narrow\"> </a>"), root_3$8 = from_html("<span> </span>"), root_4$8 = from_html("<footer class=\"dock\"><span><span class=\"dot\" aria-hidden=\"true\"></span> </span> <span> </span> <span> </span> <!> <span class=\"grow\"></span> <!> <!> <!></footer>");
function Dock(e, n) {
	push$1(n, !0);
	let i = user_derived(() => n.view.state.totals), a = user_derived(() => offline ? recorded().version : ui.about?.version);
	var o = root_4$8(), s = child(o), c = sibling(child(s), 1, !0);
	reset(s);
	var l = sibling(s, 2), u = only_child(l, !0), d = sibling(l, 2), f = only_child(d), p = sibling(d, 2), m = (e) => {
		var n = root$10(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("viewOnly")]), append(e, n);
	};
	if_block(p, (e) => {
		n.view.position !== null && e(m);
	});
	var h = sibling(p, 4), g = (e) => {
		var n = root_1$10(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("stale")]), append(e, n);
	};
	if_block(h, (e) => {
		ui.about?.stale && e(g);
	});
	var _ = sibling(h, 2), v = (e) => {
		var i = root_2$8(), a = only_child(i, !0);
		template_effect((e, n) => {
			set_attribute(i, "href", `/s/${e ?? ""}`), set_text(a, n);
		}, [() => encodeURIComponent(n.view.id), () => t("plainSession")]), append(e, i);
	};
	if_block(_, (e) => {
		offline || e(v);
	});
	var y = sibling(_, 2), b = (e) => {
		var n = root_3$8(), i = only_child(n);
		template_effect(() => set_text(i, `Life ${get$1(a) ?? ""}`)), append(e, n);
	};
	if_block(y, (e) => {
		get$1(a) && e(b);
	}), reset(o), template_effect((e, i, a, l, d, p) => {
		set_attribute(o, "aria-label", e), set_class(s, 1, `conn conn-${n.view.connection ?? ""}`), set_text(c, i), set_text(u, a), set_text(f, `${l ?? ""}: ${d ?? ""} ✓${p ?? ""}`);
	}, [
		() => t("dock"),
		() => n.view.connection === "open" && !n.view.ready ? t("catchingUp") : term("conn_", n.view.connection),
		() => t("eventsN", { n: whole(n.view.state.events) }),
		() => t("tools"),
		() => whole(get$1(i).ok),
		() => get$1(i).failed ? ` · ${whole(get$1(i).failed)} ✕` : ""
	]), append(e, o), pop();
}
// src/lib/VirtualList.svelte
var root$9 = from_html("<div role=\"listitem\" class=\"virtual-row\"><!></div>"), root_1$9 = from_html("<div class=\"virtual\"><div role=\"list\" class=\"virtual-space\"></div></div>");
function VirtualList(e, n) {
	push$1(n, !0);
	let i = prop(n, "focus", 19, () => -1), a = prop(n, "follow", 3, !1), o = state(void 0), s = state(0), c = state(600), l = user_derived(() => Math.max(0, Math.floor(get$1(s) / n.height) - 8)), u = user_derived(() => Math.min(n.count, Math.ceil((get$1(s) + get$1(c)) / n.height) + 8)), d = user_derived(() => Array.from({ length: Math.max(0, get$1(u) - get$1(l)) }, (e, n) => get$1(l) + n));
	user_effect(() => {
		if (!get$1(o) || i() < 0) return;
		let e = i() * n.height;
		(e < get$1(o).scrollTop || e + n.height > get$1(o).scrollTop + get$1(o).clientHeight) && (get$1(o).scrollTop = Math.max(0, e - get$1(o).clientHeight / 2));
	}), user_effect(() => {
		get$1(o) && a() && i() < 0 && (n.count, get$1(o).scrollTop = get$1(o).scrollHeight);
	});
	function f(e) {
		let i = {
			ArrowDown: 1,
			ArrowUp: -1,
			PageDown: 15,
			PageUp: -15
		}[e.key];
		if (i === void 0 || !get$1(o) || !(e.target instanceof HTMLElement)) return;
		let a = Number(e.target.closest("[data-index]")?.dataset.index ?? get$1(l)), s = Math.max(0, Math.min(n.count - 1, a + i));
		e.preventDefault(), e.stopPropagation(), s * n.height < get$1(o).scrollTop && (get$1(o).scrollTop = s * n.height), (s + 1) * n.height > get$1(o).scrollTop + get$1(o).clientHeight && (get$1(o).scrollTop = (s + 1) * n.height - get$1(o).clientHeight), requestAnimationFrame(() => get$1(o)?.querySelector(`[data-index="${s}"] button`)?.focus());
	}
	var p = root_1$9(), m = child(p);
	let h;
	each(m, 20, () => get$1(d), (e) => e, (e, i) => {
		var a = root$9();
		let o;
		snippet(child(a), () => n.row, () => i), reset(a), template_effect(() => {
			set_attribute(a, "aria-setsize", n.count), set_attribute(a, "aria-posinset", i + 1), set_attribute(a, "data-index", i), o = set_style(a, "", o, {
				top: `${i * n.height}px`,
				height: `${n.height ?? ""}px`
			});
		}), append(e, a);
	}), reset(m), reset(p), bind_this(p, (e) => set(o, e), () => get$1(o)), template_effect(() => {
		set_attribute(m, "aria-label", n.label), h = set_style(m, "", h, { height: `${n.count * n.height}px` });
	}), event("scroll", p, () => set(s, get$1(o)?.scrollTop ?? 0, !0)), delegated("keydown", m, f), bind_element_size(p, "clientHeight", (e) => set(c, e)), append(e, p), pop();
}
delegate(["keydown"]);
// src/panels/Files.svelte
var root$8 = from_html("<div class=\"segmented\" role=\"radiogroup\"><label><input type=\"radio\" name=\"whole\"/> </label> <label><input type=\"radio\" name=\"whole\"/> </label></div>"), root_1$8 = from_html("<p class=\"blank\"> </p>"), root_2$7 = from_html("<span class=\"file folder\"> </span>"), root_3$7 = from_html("<span> </span><span class=\"soft num\"> </span>", 1), root_4$7 = from_html("<button class=\"file\"><span class=\"file-name\"> </span> <!> <span class=\"soft num size\"> </span></button>"), root_5$4 = from_html("<div class=\"bar\"><!> <input type=\"search\"/></div> <!> <!>", 1);
function Files(e, n) {
	push$1(n, !0);
	let i = state(!1), a = state(""), o = state([]), s = state(0);
	user_effect(() => {
		n.view.state.totals.files, get$1(i) && !offline && get(at(n.view.id, "/files", { branch: n.view.branch })).then((e) => {
			set(o, e.files), set(s, Date.now(), !0);
		}, () => void 0);
	});
	let c = user_derived(() => {
		let e = new Map();
		if (get$1(i)) for (let n of get$1(o)) e.set(n.path, { size: n.size_bytes });
		for (let a of n.view.state.files) (!get$1(i) || e.has(a.path)) && e.set(a.path, {
			file: a,
			size: a.size >= 0 ? a.size : e.get(a.path)?.size ?? -1
		});
		let s = [], c = new Set();
		for (let n of [...e.keys()].filter((e) => e.toLowerCase().includes(get$1(a).toLowerCase())).sort()) {
			let i = n.split("/");
			i.slice(0, -1).forEach((e, n) => {
				let a = i.slice(0, n + 1).join("/");
				c.has(a) || (c.add(a), s.push({
					depth: n,
					name: e,
					path: a,
					folder: !0,
					size: 0
				}));
			}), s.push({
				depth: i.length - 1,
				name: i.at(-1) ?? n,
				path: n,
				folder: !1,
				size: -1,
				...e.get(n)
			});
		}
		return s;
	}), l = user_derived(() => route.get("file"));
	var u = root_5$4(), d = first_child(u), f = child(d), p = (e) => {
		var n = root$8(), a = child(n);
		let o;
		var s = child(a);
		remove_input_defaults(s);
		var c = sibling(s, 1, !0);
		reset(a);
		var l = sibling(a, 2);
		let u;
		var d = child(l);
		remove_input_defaults(d);
		var f = sibling(d, 1, !0);
		reset(l), reset(n), template_effect((e, p, m) => {
			set_attribute(n, "aria-label", e), o = set_class(a, 1, "", null, o, { on: !get$1(i) }), set_checked(s, !get$1(i)), set_text(c, p), u = set_class(l, 1, "", null, u, { on: get$1(i) }), set_checked(d, get$1(i)), set_text(f, m);
		}, [
			() => t("files"),
			() => t("touched"),
			() => t("allFiles")
		]), delegated("change", s, () => set(i, !1)), delegated("change", d, () => set(i, !0)), append(e, n);
	};
	if_block(f, (e) => {
		offline || e(p);
	});
	var m = sibling(f, 2);
	remove_input_defaults(m), reset(d);
	var h = sibling(d, 2), g = (e) => {
		var n = root_1$8(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("noFiles")]), append(e, n);
	}, _ = (e) => {
		{
			let n = (e, n = noop) => {
				let i = user_derived(() => get$1(c)[n()]);
				var a = comment(), o = first_child(a), s = (e) => {
					var n = comment(), a = first_child(n), o = (e) => {
						var n = root_2$7();
						let a;
						var o = only_child(n);
						template_effect(() => {
							a = set_style(n, "", a, { "padding-left": `${12 + get$1(i).depth * 16}px` }), set_text(o, `▾ ${get$1(i).name ?? ""}/`);
						}), append(e, n);
					}, s = (e) => {
						var n = root_4$7();
						let a;
						var o = child(n), s = only_child(o, !0), c = sibling(o, 2), u = (e) => {
							var n = root_3$7(), a = first_child(n), o = only_child(a, !0), s = only_child(sibling(a));
							template_effect((e) => {
								set_class(a, 1, `op op-${get$1(i).file.op ?? ""}`), set_text(o, e), set_text(s, `#${get$1(i).file.seq ?? ""}`);
							}, [() => term("op_", get$1(i).file.op)]), append(e, n);
						};
						if_block(c, (e) => {
							get$1(i).file && e(u);
						});
						var d = only_child(sibling(c, 2), !0);
						reset(n), template_effect((e) => {
							set_attribute(n, "aria-current", get$1(i).path === get$1(l) ? "true" : void 0), a = set_style(n, "", a, { "padding-left": `${12 + get$1(i).depth * 16}px` }), set_text(s, get$1(i).name), set_text(d, e);
						}, [() => get$1(i).size >= 0 ? bytes(get$1(i).size) : ""]), delegated("click", n, () => route.set({
							file: get$1(i).path,
							right: "preview",
							pane: "right"
						})), append(e, n);
					};
					if_block(a, (e) => {
						get$1(i).folder ? e(o) : e(s, -1);
					}), append(e, n);
				};
				if_block(o, (e) => {
					get$1(i) && e(s);
				}), append(e, a);
			}, i = user_derived(() => t("files")), a = user_derived(() => get$1(c).findIndex((e) => e.path === get$1(l)));
			VirtualList(e, {
				get count() {
					return get$1(c).length;
				},
				height: 30,
				get label() {
					return get$1(i);
				},
				get focus() {
					return get$1(a);
				},
				row: n,
				$$slots: { row: !0 }
			});
		}
	};
	if_block(h, (e) => {
		get$1(c).length ? e(_, -1) : e(g);
	});
	var v = sibling(h, 2), y = (e) => {
		Source(e, {
			get view() {
				return n.view;
			},
			events: "GET /files",
			get read() {
				return get$1(s);
			}
		});
	}, b = (e) => {
		Source(e, {
			get view() {
				return n.view;
			},
			events: "FileWrite, FileDelete, FileRename, FileMutated"
		});
	};
	if_block(v, (e) => {
		get$1(i) ? e(y) : e(b, -1);
	}), template_effect((e, n) => {
		set_attribute(m, "placeholder", e), set_attribute(m, "aria-label", n);
	}, [() => t("filterFiles"), () => t("filterFiles")]), bind_value(m, () => get$1(a), (e) => set(a, e)), append(e, u), pop();
}
delegate(["change", "click"]);
// src/app/diff.ts
var MOST_EDITS = 1500;
function diff(e, n) {
	let i = e === "" ? [] : e.replace(/\n$/, "").split("\n"), a = n === "" ? [] : n.replace(/\n$/, "").split("\n"), o = 0;
	for (; o < i.length && o < a.length && i[o] === a[o];) o++;
	let s = 0;
	for (; s < i.length - o && s < a.length - o && i[i.length - 1 - s] === a[a.length - 1 - s];) s++;
	let c = edits(i.slice(o, i.length - s), a.slice(o, a.length - s)), l = [
		...Array(o).fill(" "),
		...c,
		...Array(s).fill(" ")
	], u = 0, d = 0;
	return l.map((e) => {
		let n = e === "+" ? a[d] : i[u];
		return e !== "+" && u++, e !== "-" && d++, {
			kind: e,
			text: n,
			old: e === "+" ? 0 : u,
			now: e === "-" ? 0 : d
		};
	});
}
function edits(e, n) {
	let i = () => [...e.map(() => "-"), ...n.map(() => "+")];
	if (!e.length || !n.length) return i();
	let a = Math.min(e.length + n.length, MOST_EDITS), o = [], s = new Map([[1, 0]]);
	for (let i = 0; i <= a; i++) {
		o.push(new Map(s));
		for (let a = -i; a <= i; a += 2) {
			let c = a === -i || a !== i && (s.get(a - 1) ?? -1) < (s.get(a + 1) ?? -1) ? s.get(a + 1) ?? 0 : (s.get(a - 1) ?? 0) + 1;
			for (; c < e.length && c - a < n.length && e[c] === n[c - a];) c++;
			if (s.set(a, c), c >= e.length && c - a >= n.length) return walk(o, e.length, n.length);
		}
		s = new Map(s);
	}
	return i();
}
function walk(e, n, i) {
	let a = [];
	for (let o = e.length - 1; o > 0; o--) {
		let s = e[o], c = n - i, l = c === -o || c !== o && (s.get(c - 1) ?? -1) < (s.get(c + 1) ?? -1), u = l ? c + 1 : c - 1, d = s.get(u) ?? 0, f = d - u;
		for (; n > d && i > f && n > 0 && i > 0 && !(l ? n === d : i === f);) a.push(" "), n--, i--;
		a.push(l ? "+" : "-"), n = d, i = f;
	}
	for (; n > 0 && i > 0;) a.push(" "), n--, i--;
	return a.reverse();
}
// src/lib/Diff.svelte
var root$7 = from_html("<p class=\"soft\"> </p>"), root_1$7 = from_html("<div class=\"diff-gap\" aria-hidden=\"true\">⋯</div>"), root_2$6 = from_html("<!> <div><span class=\"gutter\"> </span><span class=\"gutter\"> </span><span class=\"sign\"> </span><span class=\"code-text\"> </span></div>", 1), root_3$6 = from_html("<div class=\"diff\" role=\"group\" tabindex=\"0\"></div>"), root_4$6 = from_html("<p class=\"figures\"><span class=\"plus\"> </span> <span class=\"minus\"> </span></p> <!>", 1);
function Diff(e, n) {
	push$1(n, !0);
	let i = user_derived(() => diff(n.before, n.after)), a = user_derived(() => get$1(i).filter((e) => e.kind === "+").length), o = user_derived(() => get$1(i).filter((e) => e.kind === "-").length), s = user_derived(() => get$1(i).map((e, n) => ({
		line: e,
		near: get$1(i).slice(Math.max(0, n - 3), n + 4).some((e) => e.kind !== " ")
	})).filter((e) => e.near).map((e) => e.line).slice(0, 2e3));
	var c = root_4$6(), l = first_child(c), u = child(l), d = only_child(u), f = only_child(sibling(u, 2));
	reset(l);
	var p = sibling(l, 2), m = (e) => {
		var n = root$7(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("same")]), append(e, n);
	}, h = (e) => {
		var i = root_3$6();
		each(i, 21, () => get$1(s), index, (e, n, i) => {
			var a = root_2$6(), o = first_child(a), c = (e) => {
				append(e, root_1$7());
			};
			if_block(o, (e) => {
				i > 0 && get$1(n).kind === " " && get$1(n).old - (get$1(s)[i - 1]?.old || get$1(n).old - 1) > 1 && e(c);
			});
			var l = sibling(o, 2);
			let u;
			var d = child(l), f = only_child(d, !0), p = sibling(d), m = only_child(p, !0), h = sibling(p), g = only_child(h, !0), _ = only_child(sibling(h), !0);
			reset(l), template_effect(() => {
				u = set_class(l, 1, "line", null, u, {
					plus: get$1(n).kind === "+",
					minus: get$1(n).kind === "-"
				}), set_text(f, get$1(n).old || ""), set_text(m, get$1(n).now || ""), set_text(g, get$1(n).kind === "-" ? "−" : get$1(n).kind), set_text(_, get$1(n).text);
			}), append(e, a);
		}), reset(i), template_effect(() => set_attribute(i, "aria-label", n.label)), append(e, i);
	};
	if_block(p, (e) => {
		!get$1(a) && !get$1(o) ? e(m) : e(h, -1);
	}), template_effect(() => {
		set_text(d, `+${get$1(a) ?? ""}`), set_text(f, `−${get$1(o) ?? ""}`);
	}), append(e, c), pop();
}
// src/lib/Json.svelte
var root$6 = from_html("<button class=\"quiet small\"> </button>"), root_1$6 = from_html("<div class=\"json\"><div class=\"code-head\"><span> </span><!></div> <pre tabindex=\"0\" role=\"group\"> </pre> <!></div>");
function Json(e, n) {
	push$1(n, !0);
	let i = prop(n, "most", 3, 12), a = state(!1), o = user_derived(() => pretty(n.value)), s = user_derived(() => get$1(o).split("\n")), c = user_derived(() => !get$1(a) && (get$1(s).length > i() || get$1(o).length > 6e3));
	var l = root_1$6(), u = child(l), d = child(u), f = only_child(d, !0);
	Copy(sibling(d), { get text() {
		return get$1(o);
	} }), reset(u);
	var p = sibling(u, 2), m = only_child(p, !0), h = sibling(p, 2), g = (e) => {
		var n = root$6(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => get$1(a) ? t("showLess") : t("showAll", { n: get$1(s).length })]), delegated("click", n, () => set(a, !get$1(a))), append(e, n);
	};
	if_block(h, (e) => {
		(get$1(s).length > i() || get$1(o).length > 6e3) && e(g);
	}), reset(l), template_effect((e) => {
		set_text(f, n.label), set_attribute(p, "aria-label", n.label), set_text(m, e);
	}, [() => get$1(c) ? get$1(s).slice(0, i()).join("\n").slice(0, 6e3) : get$1(o).slice(0, 2e5)]), append(e, l), pop();
}
delegate(["click"]);
// src/panels/Preview.svelte
var root$5 = from_html("<p class=\"blank\"> </p>"), root_1$5 = from_html("<span> </span>"), root_2$5 = from_html("<label><input type=\"radio\" name=\"preview\"/> </label>"), root_3$5 = from_html("<a class=\"button quiet small\" download=\"\"> </a>"), root_4$5 = from_html("<li><button class=\"quiet small\"> </button> <span class=\"soft\"> </span> <code> </code></li>"), root_5$3 = from_html("<li class=\"soft\"> </li>"), root_6$2 = from_html("<ul class=\"rows\"></ul>"), root_7$2 = from_html("<p class=\"soft pad\"> </p><!>", 1), root_8$1 = from_html("<div class=\"pad\"><!></div>"), root_9$1 = from_html("<div class=\"bar\"><strong class=\"file-title\"> </strong> <!></div> <div class=\"bar\"><div class=\"segmented\" role=\"radiogroup\"></div> <!></div> <div class=\"scrolls\" role=\"group\" tabindex=\"0\"><!></div>", 1), root_10 = from_html("<!> <!>", 1);
function Preview(e, n) {
	push$1(n, !0);
	let i = [], a = user_derived(() => route.get("file")), o = user_derived(() => n.view.state.files.find((e) => e.path === get$1(a))), s = state("content"), c = state([]), l = state(null), u = state(null), d = state(""), f = new Map();
	function p(e) {
		for (let i of n.view.loaded(Math.max(1, e - 40), e).reverse()) {
			let e = i.kind.arguments;
			if (i.kind.type === "ToolCallRequested" && e?.path === get$1(a) && typeof e.content == "string") return e.content;
		}
		return null;
	}
	async function m(e) {
		if (!e.hash) return null;
		let i = f.get(e.hash);
		if (i !== void 0) return i;
		if (offline) return p(e.seq);
		let a = await text(at(n.view.id, `/workspace/files/${e.hash}`, { branch: n.view.branch }));
		return f.set(e.hash, a), a;
	}
	async function h(e, i) {
		let a;
		a = offline ? n.view.loaded(1, i).filter((e) => e.kind.type.startsWith("File")).map((e) => e.sequence).reverse() : (await get(at(n.view.id, "/workspace/search", {
			branch: n.view.branch,
			q: e,
			kind: "FileWrite,FileDelete,FileRename,FileMutated",
			at: i,
			limit: 100
		}))).found.map((e) => e.sequence);
		let o = [];
		for (let i of a) {
			await n.view.fetched(i);
			let a = n.view.record(i), s = a?.kind;
			if (!a || !s || ![s.path, s.new_path].map((e) => typeof e == "string" ? e.replace(/^\//, "") : "").includes(e)) continue;
			let c = s.blob_hash ?? s.content_hash, l = s.type === "FileDelete" || c === "deleted", u = {
				seq: i,
				time: a.timestamp,
				hash: l || typeof c != "string" ? "" : c,
				op: l ? "delete" : s.type === "FileRename" ? "rename" : "write"
			};
			o.at(-1)?.hash === u.hash && u.hash || o.push(u);
		}
		return o;
	}
	let g = 0;
	user_effect(() => {
		let e = get$1(a), i = get$1(o), s = ++g;
		e && (set(d, ""), (async () => {
			try {
				if (!i) {
					let i = offline ? null : await text(at(n.view.id, `/files/${e.split("/").map(encodeURIComponent).join("/")}`, { branch: n.view.branch }));
					s === g && ((e) => {
						var n = to_array(e, 3);
						set(l, n[0]), set(u, n[1]), set(c, n[2]);
					})([
						i,
						null,
						[]
					]);
					return;
				}
				let a = i.branch === n.view.branch ? await h(e, i.seq) : [];
				if (s !== g) return;
				let o = a[0] ?? {
					seq: i.seq,
					time: i.time,
					hash: i.hash,
					op: i.op
				}, d = a.slice(1).find((e) => e.hash), [f, p] = await Promise.all([m(o), d ? m(d) : Promise.resolve(null)]);
				s === g && ((e) => {
					var n = to_array(e, 3);
					set(l, n[0]), set(u, n[1]), set(c, n[2]);
				})([
					f,
					p,
					a
				]);
			} catch (e) {
				s === g && (set(l, null), set(d, e instanceof Error ? e.message : String(e), !0));
			}
		})());
	});
	let _ = user_derived(() => get$1(l) !== null && get$1(l).includes("\0"));
	var v = root_10(), y = first_child(v), b = (e) => {
		var n = root$5(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("noFileChosen")]), append(e, n);
	}, x = (e) => {
		var f = root_9$1(), p = first_child(f), m = child(p), h = only_child(m, !0), g = sibling(m, 2), v = (e) => {
			var n = root_1$5(), i = only_child(n, !0);
			template_effect((e) => {
				set_class(n, 1, `op op-${get$1(o).op ?? ""}`), set_text(i, e);
			}, [() => term("op_", get$1(o).op)]), append(e, n);
		};
		if_block(g, (e) => {
			get$1(o) && e(v);
		}), reset(p);
		var y = sibling(p, 2), b = child(y);
		each(b, 21, () => [
			["content", t("content")],
			["diff", t("difference")],
			["history", t("history")]
		], ([e, n]) => e, (e, n) => {
			var a = user_derived(() => to_array(get$1(n), 2));
			let o = () => get$1(a)[0], c = () => get$1(a)[1];
			var l = root_2$5();
			let u;
			var d = child(l);
			remove_input_defaults(d);
			var f, p = sibling(d, 1, !0);
			reset(l), template_effect(() => {
				u = set_class(l, 1, "", null, u, { on: get$1(s) === o() }), f !== (f = o()) && (d.value = (d.__value = f) ?? ""), set_text(p, c());
			}), bind_group(i, [], d, () => (o(), get$1(s)), (e) => set(s, e)), append(e, l);
		}), reset(b);
		var x = sibling(b, 2), S = (e) => {
			var i = root_3$5(), o = only_child(i, !0);
			template_effect((e, n) => {
				set_attribute(i, "href", e), set_text(o, n);
			}, [() => at(n.view.id, `/files/${get$1(a).split("/").map(encodeURIComponent).join("/")}`, { branch: n.view.branch }), () => t("download")]), append(e, i);
		};
		if_block(x, (e) => {
			offline || e(S);
		}), reset(y);
		var C = sibling(y, 2), w = child(C), T = (e) => {
			var i = root_6$2();
			each(i, 21, () => get$1(c), index, (e, i) => {
				var a = root_4$5(), o = child(a), s = only_child(o), c = sibling(o), l = sibling(c), u = only_child(l, !0), d = only_child(sibling(l, 2), !0);
				reset(a), template_effect((e, n, a) => {
					set_text(s, `#${get$1(i).seq ?? ""}`), set_text(c, ` ${e ?? ""} `), set_text(u, n), set_text(d, a);
				}, [
					() => term("op_", get$1(i).op),
					() => time(get$1(i).time),
					() => get$1(i).hash.slice(0, 12)
				]), delegated("click", o, () => void n.view.seek(get$1(i).seq)), append(e, a);
			}, (e) => {
				var n = root_5$3(), i = only_child(n, !0);
				template_effect((e) => set_text(i, e), [() => t("noEarlier")]), append(e, n);
			}), reset(i), append(e, i);
		}, E = (e) => {
			var n = root$5(), i = only_child(n, !0);
			template_effect((e) => set_text(i, e), [() => t("fileGone", { n: get$1(o).seq })]), append(e, n);
		}, D = (e) => {
			var n = root$5(), i = only_child(n, !0);
			template_effect(() => set_text(i, get$1(d))), append(e, n);
		}, O = (e) => {
			var n = root$5(), i = only_child(n, !0);
			template_effect((e) => set_text(i, e), [() => t("contentMissing")]), append(e, n);
		}, k = (e) => {
			var n = root$5(), i = only_child(n, !0);
			template_effect((e) => set_text(i, e), [() => t("binary")]), append(e, n);
		}, A = (e) => {
			var n = comment(), i = first_child(n), a = (e) => {
				{
					let n = user_derived(() => get$1(u) ?? ""), i = user_derived(() => t("difference"));
					Diff(e, {
						get before() {
							return get$1(n);
						},
						get after() {
							return get$1(l);
						},
						get label() {
							return get$1(i);
						}
					});
				}
			}, o = (e) => {
				var n = root_7$2(), i = first_child(n), a = only_child(i, !0), o = sibling(i);
				{
					let e = user_derived(() => t("difference"));
					Diff(o, {
						before: "",
						get after() {
							return get$1(l);
						},
						get label() {
							return get$1(e);
						}
					});
				}
				template_effect((e) => set_text(a, e), [() => t("noEarlier")]), append(e, n);
			};
			if_block(i, (e) => {
				get$1(c).length > 1 || get$1(u) !== null ? e(a) : e(o, -1);
			}), append(e, n);
		}, j = (e) => {
			var n = root_8$1();
			Markdown(child(n), { get text() {
				return get$1(l);
			} }), reset(n), append(e, n);
		}, M = user_derived(() => /\.(md|markdown)$/i.test(get$1(a))), N = (e) => {
			{
				let n = user_derived(() => get$1(o) && get$1(o).size >= 0 ? bytes(get$1(o).size) : t("content"));
				Json(e, {
					get value() {
						return get$1(l);
					},
					most: 400,
					get label() {
						return get$1(n);
					}
				});
			}
		};
		if_block(w, (e) => {
			get$1(s) === "history" ? e(T) : get$1(o)?.op === "delete" ? e(E, 1) : get$1(d) ? e(D, 2) : get$1(l) === null ? e(O, 3) : get$1(_) ? e(k, 4) : get$1(s) === "diff" ? e(A, 5) : get$1(M) ? e(j, 6) : e(N, -1);
		}), reset(C), template_effect((e, n) => {
			set_text(h, get$1(a)), set_attribute(b, "aria-label", e), set_attribute(C, "aria-label", n);
		}, [() => t("preview"), () => t("preview")]), append(e, f);
	};
	if_block(y, (e) => {
		get$1(a) ? e(x, -1) : e(b);
	});
	var S = sibling(y, 2);
	{
		let e = user_derived(() => get$1(o)?.seq);
		Source(S, {
			get view() {
				return n.view;
			},
			events: "FileWrite, FileMutated, FileDelete",
			get seq() {
				return get$1(e);
			}
		});
	}
	append(e, v), pop();
}
delegate(["click"]);
// src/fold/record.ts
function kindName(e) {
	let n = e.kind;
	return n.type === "Custom" && typeof n.event_type == "string" ? n.event_type : n.type;
}
function content(e) {
	let n = e.kind;
	if (n.type !== "Custom") return n;
	let i = n.data;
	return typeof i == "object" && i && !Array.isArray(i) ? i : {};
}
// src/app/describe.ts
var FAMILIES = {
	talk: [
		"UserMessage",
		"Message",
		"AssistantMessageCommitted",
		"Queued",
		"Steered",
		"QueueDrained",
		"arcan.reasoning",
		"arcan.noted"
	],
	run: [
		"Run",
		"Step",
		"Phase",
		"Deliberation",
		"arcan.run_",
		"arcan.limit",
		"arcan.model",
		"Error",
		"CircuitBreaker"
	],
	tool: [
		"Tool",
		"Sandbox",
		"Kernel",
		"arcan.tool",
		"arcan.call",
		"arcan.subagent"
	],
	file: ["File", "arcan.files"],
	policy: [
		"Policy",
		"Approval",
		"Intent",
		"arcan.rule",
		"arcan.policy",
		"policy.",
		"arcan.doubt"
	],
	state: [
		"State",
		"Budget",
		"Mode",
		"Gates",
		"Heartbeat",
		"Context",
		"arcan.context",
		"arcan.regulated",
		"autonomic."
	],
	memory: [
		"Memory",
		"Knowledge",
		"Observation",
		"Reflection",
		"skill."
	],
	money: ["finance."],
	identity: ["anima."],
	judge: ["eval."],
	spaces: ["spaces.", "Hive"],
	session: [
		"Session",
		"Branch",
		"Checkpoint",
		"Snapshot",
		"arcan.branch",
		"arcan.session",
		"arcan.provider",
		"demo."
	]
};
function family(e) {
	for (let [n, i] of Object.entries(FAMILIES)) if (i.some((n) => e.startsWith(n))) return n;
	return "other";
}
var WORDS = [
	"title",
	"question",
	"content",
	"message",
	"error",
	"explanation",
	"reason",
	"summary",
	"note",
	"query",
	"path",
	"name",
	"objective",
	"text"
];
function summary(e) {
	let n = content(e), i = (e) => typeof n[e] == "string" ? n[e] : "", a = (e) => typeof n[e] == "number" ? n[e] : 0;
	switch (kindName(e)) {
		case "ToolCallRequested": return `${i("tool_name")} ${target$1(n.arguments)}`;
		case "ToolCallStarted": return i("tool_name");
		case "ToolCallCompleted": return `${i("tool_name")} · ${i("status")} · ${duration(a("duration_ms"))}`;
		case "ToolCallFailed": return `${i("tool_name")} · ${i("error")}`;
		case "PolicyEvaluated": return `${i("tool_name")} · ${i("decision")} · ${i("explanation")}`;
		case "ApprovalRequested": return `${i("tool_name")} ${target$1(n.arguments)} · ${i("risk")}`;
		case "ApprovalResolved": return [i("decision"), i("reason")].filter(Boolean).join(" · ");
		case "RunStarted": return i("specification") || i("provider");
		case "StepStarted": return `#${a("index")}`;
		case "StepFinished": return `#${a("index")} · ${i("stop_reason")}`;
		case "RunFinished": return [i("reason"), i("final_answer")].filter(Boolean).join(" · ");
		case "FileWrite": return `${i("path")} · ${a("size_bytes")} B`;
		case "FileRename": return `${i("old_path")} → ${i("new_path")}`;
		case "ModeChanged": return `${i("from")} → ${i("to")}`;
		case "StateEstimated": return i("mode");
		case "SandboxExecuted": return `${i("command")} · ${a("exit_code")}`;
		case "BranchCreated": return `${i("name")} · #${a("fork_point_seq")}`;
		case "eval.InlineCompleted": return `${i("evaluator")} · ${a("score")} · ${i("label")}`;
		case "spaces.hired":
		case "spaces.hire_changed": return `${i("title")} · ${i("state")} · ${usd(a("price_micro"))}`;
		default: {
			let e = a("amount_micro") || a("amount_micro_credits"), n = WORDS.map(i).find(Boolean) ?? "";
			return [
				e ? usd(e) : "",
				i("resource_url"),
				n
			].filter(Boolean).join(" · ");
		}
	}
}
// src/panels/Scrubber.svelte
var root$4 = from_html("<option> </option>"), root_1$4 = from_svg("<rect width=\"0.25\"></rect>"), root_2$4 = from_html("<button class=\"small\"> <!></button>"), root_3$4 = from_html("<button class=\"quiet small hide-narrow\"> </button>"), root_4$4 = from_html("<section class=\"scrubber\"><div class=\"row\"><button class=\"quiet small icon\">«</button> <button class=\"quiet small icon\">‹</button> <button class=\"quiet small icon\"> </button> <button class=\"quiet small icon\">›</button> <button class=\"quiet small icon\">»</button> <select class=\"small\"></select></div> <div class=\"track\"><svg class=\"marks\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\"></svg> <input type=\"range\" min=\"0\" step=\"1\"/></div> <div class=\"row\"><span> <span class=\"soft\"> </span></span> <!> <!></div></section>");
function Scrubber(e, n) {
	push$1(n, !0);
	let i = prop(n, "view", 7), a = user_derived(() => i().record(i().shown)), o = user_derived(() => t(i().mode === "live" ? "liveAt" : i().mode === "replay" ? "replayAt" : "pausedAt", { n: whole(i().shown) })), s = user_derived(() => get$1(a) ? t("positionText", {
		n: i().shown,
		head: i().head,
		what: `${kindName(get$1(a))} ${summary(get$1(a))}`.slice(0, 80),
		time: time(get$1(a).timestamp)
	}) : String(i().shown)), c = user_derived(() => {
		let e = new Map();
		for (let n of i().marks) {
			let a = Math.round(n.seq / Math.max(1, i().head) * 400) / 4;
			e.set(`${n.kind}${a}`, {
				place: a,
				kind: n.kind
			});
		}
		return [...e.values()];
	});
	function l(e) {
		i().stop(), i().seek(Number(e.currentTarget.value));
	}
	function u(e) {
		if (e.ctrlKey || e.metaKey || e.altKey) return;
		let n = e.shiftKey ? 10 : 1, a = {
			ArrowLeft: i().shown - n,
			ArrowRight: i().shown + n,
			ArrowDown: i().shown - n,
			ArrowUp: i().shown + n,
			PageDown: i().shown - 100,
			PageUp: i().shown + 100
		}[e.key];
		a !== void 0 && (e.stopPropagation(), e.preventDefault(), i().stop(), i().seek(a));
	}
	var d = root_4$4(), f = child(d), p = child(f), m = sibling(p, 2), h = sibling(m, 2), g = only_child(h, !0), _ = sibling(h, 2), v = sibling(_, 2), y = sibling(v, 2);
	each(y, 20, () => [
		.5,
		1,
		2,
		5
	], index, (e, n) => {
		var i = root$4(), a = only_child(i), o = {};
		template_effect(() => {
			set_text(a, `${n ?? ""}×`), o !== (o = n) && (i.value = (i.__value = o) ?? "");
		}), append(e, i);
	}), reset(y), init_select(y), reset(f);
	var b = sibling(f, 2), x = child(b);
	each(x, 21, () => get$1(c), index, (e, n) => {
		var i = root_1$4();
		template_effect(() => {
			set_attribute(i, "x", get$1(n).place), set_attribute(i, "y", get$1(n).kind === "user" ? 0 : 3), set_attribute(i, "height", get$1(n).kind === "user" ? 8 : 5), set_class(i, 0, `mark-${get$1(n).kind ?? ""}`);
		}), append(e, i);
	}), reset(x);
	var S = sibling(x, 2);
	remove_input_defaults(S), reset(b);
	var C = sibling(b, 2), w = child(C), T = child(w), E = only_child(sibling(T));
	reset(w);
	var D = sibling(w, 2), O = (e) => {
		var n = root_2$4(), a = child(n, !0), o = sibling(a), s = (e) => {
			var n = text$2();
			template_effect((e) => set_text(n, ` (${e ?? ""})`), [() => t("newEvents", { n: i().newSince })]), append(e, n);
		};
		if_block(o, (e) => {
			i().newSince && e(s);
		}), reset(n), template_effect((e) => set_text(a, e), [() => t("followLive")]), delegated("click", n, () => i().follow()), append(e, n);
	};
	if_block(D, (e) => {
		i().position !== null && e(O);
	});
	var k = sibling(D, 2), A = (e) => {
		var n = root_3$4(), a = only_child(n);
		template_effect((e, i) => {
			set_attribute(n, "title", e), set_text(a, `↳ ${i ?? ""}`);
		}, [() => t("runAgainHint"), () => t("branchHere")]), delegated("click", n, () => ui.branchFrom(i().shown)), append(e, n);
	};
	if_block(k, (e) => {
		offline || e(A);
	}), reset(C), reset(d), template_effect((e, n, a, o, c, l, u, f, b, x, C, D, O, k, A) => {
		set_attribute(d, "aria-label", e), set_attribute(p, "aria-label", n), set_attribute(p, "title", `${a ?? ""} [`), set_attribute(m, "aria-label", o), set_attribute(m, "title", `${c ?? ""} ←`), set_attribute(h, "aria-label", l), set_attribute(h, "title", u), set_text(g, i().playing ? "❚❚" : "▶"), set_attribute(_, "aria-label", f), set_attribute(_, "title", `${b ?? ""} →`), set_attribute(v, "aria-label", x), set_attribute(v, "title", `${C ?? ""} ]`), set_attribute(y, "aria-label", D), set_attribute(S, "max", i().head), set_value(S, i().shown), set_attribute(S, "aria-label", O), set_attribute(S, "aria-valuetext", get$1(s)), set_class(w, 1, `mode mode-${i().mode ?? ""}`), set_text(T, `${k ?? ""} `), set_text(E, `/ ${A ?? ""}`);
	}, [
		() => t("position"),
		() => t("previousRun"),
		() => t("previousRun"),
		() => t("stepBack"),
		() => t("stepBack"),
		() => i().playing ? t("pausePlay") : t("play"),
		() => i().playing ? t("pausePlay") : t("play"),
		() => t("stepOn"),
		() => t("stepOn"),
		() => t("nextRun"),
		() => t("nextRun"),
		() => t("speed"),
		() => t("position"),
		() => i().seeking === null ? get$1(o) : t("seeking", { n: whole(i().seeking) }),
		() => whole(i().head)
	]), delegated("click", p, () => n.jump(-1)), delegated("click", m, () => {
		i().stop(), i().seek(i().shown - 1);
	}), delegated("click", h, () => i().play()), delegated("click", _, () => {
		i().stop(), i().seek(i().shown + 1);
	}), delegated("click", v, () => n.jump(1)), bind_select_value(y, () => i().speed, (e) => i().speed = e), delegated("input", S, l), delegated("keydown", S, u), append(e, d), pop();
}
delegate([
	"click",
	"input",
	"keydown"
]);
// src/panels/Status.svelte
var root$3 = from_html("<span class=\"soft\"> </span>"), root_1$3 = from_html(" <!>", 1), root_2$3 = from_html("<p class=\"strip bad\"> </p>"), root_3$3 = from_html("<p class=\"strip\"> </p>"), root_4$3 = from_html("<p class=\"strip bad\"> <button class=\"quiet small\"> </button> <span class=\"soft\"> </span></p>"), root_5$2 = from_html("<div class=\"status\"><span class=\"dot\" aria-hidden=\"true\"></span> <strong> </strong> <!> <span class=\"grow\"></span> <span class=\"soft\"> <!> <!></span></div> <!> <!> <!>", 1);
function Status(e, n) {
	push$1(n, !0);
	let i = user_derived(() => n.view.state), a = user_derived(() => get$1(i).calls.find((e) => e.state === "running")), o = user_derived(() => get$1(i).status === "running" ? get$1(a) ? t("toolNow", { tool: get$1(a).tool }) : n.view.position === null && n.view.writing ? t("writingNow") : get$1(i).step ? t("thinkingNow") : t("status_running") : term("status_", get$1(i).status)), s = user_derived(() => get$1(i).runs.at(-1));
	var c = root_5$2(), l = first_child(c), u = sibling(child(l), 2), d = only_child(u, !0), f = sibling(u, 2), p = (e) => {
		var n = root$3(), a = only_child(n, !0);
		template_effect(() => set_text(a, get$1(i).suspended)), append(e, n);
	};
	if_block(f, (e) => {
		get$1(i).suspended && e(p);
	});
	var m = sibling(f, 4), h = child(m), g = sibling(h), _ = (e) => {
		append(e, text$2("—"));
	}, v = (e) => {
		var n = text$2();
		template_effect((e) => set_text(n, e), [() => t("notReported")]), append(e, n);
	}, y = (e) => {
		var n = root_1$3(), a = first_child(n, !0), o = sibling(a), s = (e) => {
			append(e, text$2("*"));
		};
		if_block(o, (e) => {
			get$1(i).totals.uncosted && e(s);
		}), template_effect((e) => set_text(a, e), [() => usd(get$1(i).totals.cost_micro)]), append(e, n);
	};
	if_block(g, (e) => {
		get$1(i).totals.steps === 0 ? e(_) : get$1(i).totals.uncosted === get$1(i).totals.steps ? e(v, 1) : e(y, -1);
	});
	var b = sibling(g, 2), x = (e) => {
		var n = text$2();
		template_effect((e) => set_text(n, e), [() => t("ofCap", { cap: usd(get$1(s).max_cost_micro) })]), append(e, n);
	};
	if_block(b, (e) => {
		get$1(s)?.max_cost_micro && e(x);
	}), reset(m), reset(l);
	var S = sibling(l, 2), C = (e) => {
		var n = root_2$3(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("breakerOpen")]), append(e, n);
	};
	if_block(S, (e) => {
		get$1(i).breaker && e(C);
	});
	var w = sibling(S, 2), T = (e) => {
		var n = root_3$3(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("readOnly")]), append(e, n);
	};
	if_block(w, (e) => {
		get$1(i).session.merged_into && e(T);
	});
	var E = sibling(w, 2), D = (e) => {
		var i = root_4$3(), a = child(i), o = sibling(a), s = only_child(o, !0), c = only_child(sibling(o, 2), !0);
		reset(i), template_effect((e, n, i, o) => {
			set_text(a, `${e ?? ""}. ${n ?? ""} `), set_text(s, i), set_text(c, o);
		}, [
			() => t("conn_lost"),
			() => t("lostBody", { n: n.view.head }),
			() => t("retry"),
			() => t("startAgain")
		]), delegated("click", o, () => n.view.retry()), append(e, i);
	};
	if_block(E, (e) => {
		n.view.connection === "lost" && e(D);
	}), template_effect((e, n) => {
		set_attribute(l, "data-status", get$1(i).status), set_text(d, get$1(o)), set_attribute(m, "title", `${e ?? ""} µUSD`), set_text(h, `${n ?? ""} `);
	}, [() => whole(get$1(i).totals.cost_micro), () => t("spent")]), append(e, c), pop();
}
delegate(["click"]);
// src/panels/Top.svelte
var root$2 = from_html("<span class=\"brand\"> </span>"), root_1$2 = from_html("<a class=\"brand\" href=\"/workspace\"> </a>"), root_2$2 = from_html("<span class=\"soft\" aria-hidden=\"true\">/</span> <span class=\"crumb\"> </span> <button class=\"quiet small\"> </button>", 1), root_3$2 = from_html("<a class=\"soft plain\" href=\"/\"> </a>"), root_4$2 = from_html("<span class=\"badge\"> </span>"), root_5$1 = from_html("<button> <!></button>"), root_6$1 = from_html("<button class=\"quiet small\" title=\"Ctrl K\"> </button>"), root_7$1 = from_html("<header class=\"top\"><nav><!> <!></nav> <div class=\"row tools\"><!> <!> <button class=\"quiet small\">⚙</button></div></header>");
function Top(e, n) {
	push$1(n, !0);
	let i = prop(n, "view", 3, null), a = user_derived(() => ui.waiting.length + ui.payments.length), o = user_derived(() => i()?.state.session);
	function s(e) {
		e.metaKey || e.ctrlKey || (e.preventDefault(), route.go(""));
	}
	var c = root_7$1(), l = child(c), u = child(l), d = (e) => {
		var n = root$2(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("appName")]), append(e, n);
	}, f = (e) => {
		var n = root_1$2(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("appName")]), delegated("click", n, s), append(e, n);
	};
	if_block(u, (e) => {
		offline ? e(d) : e(f, -1);
	});
	var p = sibling(u, 2), m = (e) => {
		var n = root_2$2(), a = sibling(first_child(n), 2), s = only_child(a, !0), c = sibling(a, 2), l = only_child(c);
		template_effect(() => {
			set_attribute(a, "title", i().id), set_text(s, get$1(o)?.name || i().id), c.disabled = offline, set_text(l, `↳ ${(get$1(o)?.branch_name || i().branch) ?? ""}`);
		}), delegated("click", c, () => ui.overlay = "branches"), append(e, n);
	}, h = (e) => {
		var n = root_3$2(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("plainPages")]), append(e, n);
	};
	if_block(p, (e) => {
		i() ? e(m) : offline || e(h, 1);
	}), reset(l);
	var g = sibling(l, 2), _ = child(g), v = (e) => {
		var n = root_5$1();
		let i;
		var o = child(n, !0), s = sibling(o), c = (e) => {
			var n = root_4$2(), i = only_child(n, !0);
			template_effect(() => set_text(i, get$1(a))), append(e, n);
		};
		if_block(s, (e) => {
			get$1(a) && e(c);
		}), reset(n), template_effect((e) => {
			i = set_class(n, 1, "quiet small", null, i, { attention: get$1(a) > 0 }), set_text(o, e);
		}, [() => t("inbox")]), delegated("click", n, () => ui.overlay = "inbox"), append(e, n);
	};
	if_block(_, (e) => {
		offline || e(v);
	});
	var y = sibling(_, 2), b = (e) => {
		var n = root_6$1(), i = only_child(n, !0);
		template_effect((e) => set_text(i, e), [() => t("palette")]), delegated("click", n, () => ui.overlay = "palette"), append(e, n);
	};
	if_block(y, (e) => {
		i() && e(b);
	});
	var x = sibling(y, 2);
	reset(g), reset(c), template_effect((e, n, i) => {
		set_attribute(l, "aria-label", e), set_attribute(x, "aria-label", n), set_attribute(x, "title", i);
	}, [
		() => t("workspace"),
		() => t("preferences"),
		() => t("preferences")
	]), delegated("click", x, () => ui.overlay = "preferences"), append(e, c), pop();
}
delegate(["click"]);
// src/Workspace.svelte
var root$1 = from_html("<div class=\"page\"><!><main class=\"home\" id=\"conversation\"><h1> </h1> <p> </p> <p class=\"soft\"> <code> </code></p> <a class=\"button\" href=\"/workspace\"> </a></main></div>"), root_1$1 = from_html("<div class=\"switch\" role=\"group\"><button class=\"quiet small\"> </button> <button class=\"quiet small\"> </button></div>"), root_2$1 = from_html("<h1 class=\"sr\"> </h1> <!> <!> <!>", 1), root_3$1 = from_html("<p class=\"blank\"> </p>"), root_4$1 = from_html("<main class=\"column mid\"><!></main>"), root_5 = from_html("<button class=\"quiet\"> </button>"), root_6 = from_html("<nav class=\"bottom\"></nav>"), root_7 = from_html("<div><!> <!> <!> <!> <!> <!> <!> <!> <!> <!></div>"), root_8 = from_html("<!> <!> <!> <!>", 1), root_9 = from_html("<!> <!>", 1);
function Workspace(e, n) {
	push$1(n, !0);
	let i = state(proxy(innerWidth)), a = user_derived(() => get$1(i) >= 1280 ? "three" : get$1(i) >= 900 ? "two" : "one"), o = user_derived(() => route.get("pane", "chat")), s = [
		"files",
		"journal",
		"timeline",
		"graph",
		"spaces"
	], c = [
		"preview",
		"trace",
		"judge",
		"context",
		"autonomic",
		"ledger",
		"identity"
	], l = (e, n) => n.includes(e) ? e : n[0], u = user_derived(() => l(route.get("mid"), s)), d = user_derived(() => l(route.get("right"), c)), f = user_derived(() => ({
		left: get$1(a) !== "one" || get$1(o) === "chat",
		mid: get$1(a) === "three" || (get$1(a) === "two" ? get$1(o) !== "right" : get$1(o) === "mid"),
		right: get$1(a) === "three" || get$1(o) === "right"
	})), p = user_derived(() => parts$1.panes);
	user_effect(() => {
		(get$1(u) !== "files" || get$1(d) !== "preview") && parts$1.needPanes();
	});
	let m = user_derived(() => [
		{
			id: "files",
			label: t("files"),
			badge: n.view.state.files.length
		},
		{
			id: "journal",
			label: t("journal")
		},
		{
			id: "timeline",
			label: t("timeline")
		},
		{
			id: "graph",
			label: t("graph"),
			badge: n.view.state.notes.length
		},
		{
			id: "spaces",
			label: t("spaces"),
			badge: n.view.state.hires.length + n.view.state.peers.length
		}
	]), h = user_derived(() => [
		{
			id: "preview",
			label: t("preview"),
			group: t("reasoningGroup")
		},
		{
			id: "trace",
			label: t("trace"),
			group: t("reasoningGroup")
		},
		{
			id: "judge",
			label: t("judge"),
			group: t("reasoningGroup")
		},
		{
			id: "context",
			label: t("context"),
			group: t("reasoningGroup")
		},
		{
			id: "autonomic",
			label: t("autonomic"),
			group: t("economyGroup")
		},
		{
			id: "ledger",
			label: t("ledger"),
			group: t("economyGroup")
		},
		{
			id: "identity",
			label: t("identity"),
			group: t("identityGroup")
		}
	]), g = null, _ = 0;
	user_effect(() => {
		let e = n.view.position === null ? "" : String(n.view.position);
		n.view.opened && e !== g && (g = e, clearTimeout(_), _ = window.setTimeout(() => {
			_ = 0, route.get("at") !== g && route.set({ at: g }, !0);
		}, 150));
	}), user_effect(() => () => clearTimeout(_)), user_effect(() => {
		let e = route.get("at");
		n.view.opened && !_ && e !== g && (g = e, e === "" ? n.view.follow() : n.view.seek(Number(e)));
	});
	let v = "";
	user_effect(() => {
		let e = n.view.state.status;
		if (n.view.position === null && n.view.opened && e !== v) {
			if (e === "running") ui.say(t("answering"));
			else if (e === "waiting" || e === "in_doubt") ui.say(t("waitingForYou"));
			else if (v && e === "idle") {
				let e = n.view.state.entries.findLast((e) => e.kind === "text"), i = e ? n.view.record(e.seq, e.branch) : void 0, a = typeof i?.kind.content == "string" ? i.kind.content.split(/\s+/).length : 0;
				ui.say(t("answered", { n: a }));
			}
			v !== e && ui.readInbox(), v = e;
		}
	});
	function y(e) {
		(e.key === "Control" || e.key === "Meta") && parts$1.needPanes();
		let i = e.target, a = i.closest("input:not([type=range]), textarea, select, [contenteditable], dialog") !== null;
		if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "k") {
			e.preventDefault(), ui.overlay = "palette";
			return;
		}
		if ((e.ctrlKey || e.metaKey) && e.key === ".") {
			e.preventDefault(), ui.overlay = "preferences";
			return;
		}
		if (a || e.ctrlKey || e.metaKey || e.altKey || ui.overlay && ui.overlay !== "inbox") return;
		let o = e.shiftKey ? 10 : 1, s = i.closest("[role=tablist], [role=separator], [role=tree]") !== null, c = {
			ArrowLeft: () => {
				n.view.stop(), n.view.seek(n.view.shown - o);
			},
			ArrowRight: () => {
				n.view.stop(), n.view.seek(n.view.shown + o);
			},
			"[": () => b(-1),
			"]": () => b(1),
			l: () => n.view.follow(),
			m: () => document.getElementById("composer")?.focus(),
			i: () => ui.overlay = "inbox",
			"?": () => ui.overlay = "shortcuts"
		};
		e.key === " " && i.tagName !== "BUTTON" && i.tagName !== "A" && i.tagName !== "SUMMARY" && (c[" "] = () => n.view.play());
		let l = c[e.key];
		!l || s && e.key.startsWith("Arrow") || (e.preventDefault(), l());
	}
	function b(e) {
		n.view.stop();
		let i = n.view.marks.filter((e) => e.kind === "user").map((e) => e.seq), a = n.view.shown, o = e < 0 ? i.findLast((e) => e < a) : i.find((e) => e > a);
		n.view.seek(o ?? (e < 0 ? 1 : n.view.head));
	}
	var x = root_9();
	event("keydown", $window, y);
	var S = first_child(x), C = (e) => {
		var i = root$1(), a = child(i);
		Top(a, {});
		var o = sibling(a), s = child(o), c = only_child(s, !0), l = sibling(s, 2), u = only_child(l, !0), d = sibling(l, 2), f = child(d), p = only_child(sibling(f), !0);
		reset(d);
		var m = only_child(sibling(d, 2), !0);
		reset(o), reset(i), template_effect((e, i, a, o) => {
			set_text(c, e), set_text(u, i), set_text(f, `${a ?? ""} `), set_text(p, n.view.error.code), set_text(m, o);
		}, [
			() => t("error"),
			() => n.view.error.status === 404 ? t("notFound") : n.view.error.message,
			() => n.view.error.status === 0 ? t("startAgain") : "",
			() => t("backToList")
		]), append(e, i);
	}, w = (e) => {
		var i = root_7();
		let s, c;
		var l = child(i);
		Top(l, { get view() {
			return n.view;
		} });
		var g = sibling(l, 2), _ = (e) => {
			var n = root_1$1(), i = child(n), a = only_child(i, !0), o = sibling(i, 2), s = only_child(o, !0);
			reset(n), template_effect((e, c, l) => {
				set_attribute(n, "aria-label", e), set_attribute(i, "aria-pressed", get$1(f).mid), set_text(a, c), set_attribute(o, "aria-pressed", get$1(f).right), set_text(s, l);
			}, [
				() => t("showPane"),
				() => t("middle"),
				() => t("inspectors")
			]), delegated("click", i, () => route.set({ pane: "mid" })), delegated("click", o, () => route.set({ pane: "right" })), append(e, n);
		};
		if_block(g, (e) => {
			get$1(a) === "two" && e(_);
		});
		var v = sibling(g, 2), y = (e) => {
			var i = comment();
			element(first_child(i), () => get$1(a) === "one" ? "main" : "section", !1, (e, i) => {
				attribute_effect(e, (e) => ({
					class: "column left",
					"aria-label": e,
					id: "conversation"
				}), [() => t("chat")]);
				var a = root_2$1(), o = first_child(a), s = only_child(o, !0), c = sibling(o, 2);
				Status(c, { get view() {
					return n.view;
				} });
				var l = sibling(c, 2);
				Chat(l, { get view() {
					return n.view;
				} });
				var u = sibling(l, 2), d = (e) => {
					Composer(e, { get view() {
						return n.view;
					} });
				};
				if_block(u, (e) => {
					offline || e(d);
				}), template_effect(() => set_text(s, n.view.state.session.name || n.view.id)), append(i, a);
			}), append(e, i);
		};
		if_block(v, (e) => {
			get$1(f).left && e(y);
		});
		var x = sibling(v, 2), S = (e) => {
			{
				let n = user_derived(() => t("chat"));
				Splitter(e, {
					get value() {
						return prefs.left;
					},
					min: 280,
					max: 640,
					get pane() {
						return get$1(n);
					},
					side: "left",
					onchange: (e) => prefer({ left: e })
				});
			}
		};
		if_block(x, (e) => {
			get$1(a) === "three" && e(S);
		});
		var C = sibling(x, 2), w = (e) => {
			var i = root_4$1(), a = child(i);
			{
				let e = (e) => {
					var i = comment(), a = first_child(i), o = (e) => {
						Files(e, { get view() {
							return n.view;
						} });
					}, s = (e) => {
						var n = root_3$1(), i = only_child(n, !0);
						template_effect((e) => set_text(i, e), [() => t("loading")]), append(e, n);
					}, c = (e) => {
						var i = comment();
						component(first_child(i), () => get$1(p).Journal, (e, i) => {
							i(e, { get view() {
								return n.view;
							} });
						}), append(e, i);
					}, l = (e) => {
						var i = comment();
						component(first_child(i), () => get$1(p).Timeline, (e, i) => {
							i(e, { get view() {
								return n.view;
							} });
						}), append(e, i);
					}, d = (e) => {
						var i = comment();
						component(first_child(i), () => get$1(p).Graph, (e, i) => {
							i(e, { get view() {
								return n.view;
							} });
						}), append(e, i);
					}, f = (e) => {
						var i = comment();
						component(first_child(i), () => get$1(p).Spaces, (e, i) => {
							i(e, { get view() {
								return n.view;
							} });
						}), append(e, i);
					};
					if_block(a, (e) => {
						get$1(u) === "files" ? e(o) : get$1(p) ? get$1(u) === "journal" ? e(c, 2) : get$1(u) === "timeline" ? e(l, 3) : get$1(u) === "graph" ? e(d, 4) : get$1(u) === "spaces" && e(f, 5) : e(s, 1);
					}), append(e, i);
				}, i = user_derived(() => t("middle"));
				Tabs(a, {
					get tabs() {
						return get$1(m);
					},
					get chosen() {
						return get$1(u);
					},
					get label() {
						return get$1(i);
					},
					prefix: "mid",
					onchoose: (e) => route.set({ mid: e }),
					panel: e,
					$$slots: { panel: !0 }
				});
			}
			reset(i), template_effect((e) => set_attribute(i, "aria-label", e), [() => t("middle")]), append(e, i);
		};
		if_block(C, (e) => {
			get$1(f).mid && e(w);
		});
		var T = sibling(C, 2), E = (e) => {
			{
				let n = user_derived(() => t("inspectors"));
				Splitter(e, {
					get value() {
						return prefs.right;
					},
					min: 280,
					max: 720,
					get pane() {
						return get$1(n);
					},
					side: "right",
					onchange: (e) => prefer({ right: e })
				});
			}
		};
		if_block(T, (e) => {
			get$1(a) === "three" && e(E);
		});
		var D = sibling(T, 2), O = (e) => {
			var i = comment();
			element(first_child(i), () => get$1(a) === "one" ? "main" : "aside", !1, (e, i) => {
				attribute_effect(e, (e) => ({
					class: "column right",
					"aria-label": e
				}), [() => t("inspectors")]);
				{
					let e = (e) => {
						var i = comment(), a = first_child(i), o = (e) => {
							Preview(e, { get view() {
								return n.view;
							} });
						}, s = (e) => {
							var n = root_3$1(), i = only_child(n, !0);
							template_effect((e) => set_text(i, e), [() => t("loading")]), append(e, n);
						}, c = (e) => {
							var i = comment();
							component(first_child(i), () => get$1(p).Trace, (e, i) => {
								i(e, { get view() {
									return n.view;
								} });
							}), append(e, i);
						}, l = (e) => {
							var i = comment();
							component(first_child(i), () => get$1(p).Judge, (e, i) => {
								i(e, { get view() {
									return n.view;
								} });
							}), append(e, i);
						}, u = (e) => {
							var i = comment();
							component(first_child(i), () => get$1(p).Context, (e, i) => {
								i(e, { get view() {
									return n.view;
								} });
							}), append(e, i);
						}, f = (e) => {
							var i = comment();
							component(first_child(i), () => get$1(p).Autonomic, (e, i) => {
								i(e, { get view() {
									return n.view;
								} });
							}), append(e, i);
						}, m = (e) => {
							var i = comment();
							component(first_child(i), () => get$1(p).Ledger, (e, i) => {
								i(e, { get view() {
									return n.view;
								} });
							}), append(e, i);
						}, h = (e) => {
							var i = comment();
							component(first_child(i), () => get$1(p).Identity, (e, i) => {
								i(e, { get view() {
									return n.view;
								} });
							}), append(e, i);
						};
						if_block(a, (e) => {
							get$1(d) === "preview" ? e(o) : get$1(p) ? get$1(d) === "trace" ? e(c, 2) : get$1(d) === "judge" ? e(l, 3) : get$1(d) === "context" ? e(u, 4) : get$1(d) === "autonomic" ? e(f, 5) : get$1(d) === "ledger" ? e(m, 6) : get$1(d) === "identity" && e(h, 7) : e(s, 1);
						}), append(e, i);
					}, a = user_derived(() => t("inspectors"));
					Tabs(i, {
						get tabs() {
							return get$1(h);
						},
						get chosen() {
							return get$1(d);
						},
						get label() {
							return get$1(a);
						},
						prefix: "right",
						onchoose: (e) => route.set({ right: e }),
						panel: e,
						$$slots: { panel: !0 }
					});
				}
			}), append(e, i);
		};
		if_block(D, (e) => {
			get$1(f).right && e(O);
		});
		var k = sibling(D, 2);
		Scrubber(k, {
			get view() {
				return n.view;
			},
			jump: b
		});
		var A = sibling(k, 2);
		Dock(A, { get view() {
			return n.view;
		} });
		var j = sibling(A, 2), M = (e) => {
			var n = root_6();
			each(n, 21, () => [
				["chat", t("chat")],
				["mid", t("middle")],
				["right", t("inspectors")]
			], ([e, n]) => e, (e, n) => {
				var i = user_derived(() => to_array(get$1(n), 2));
				let a = () => get$1(i)[0], s = () => get$1(i)[1];
				var c = root_5(), l = only_child(c, !0);
				template_effect(() => {
					set_attribute(c, "aria-current", get$1(o) === a() ? "page" : void 0), set_text(l, s());
				}), delegated("click", c, () => route.set({ pane: a() })), append(e, c);
			}), reset(n), template_effect((e) => set_attribute(n, "aria-label", e), [() => t("showPane")]), append(e, n);
		};
		if_block(j, (e) => {
			get$1(a) === "one" && e(M);
		}), reset(i), template_effect(() => {
			s = set_class(i, 1, `workspace form-${get$1(a) ?? ""}`, null, s, { both: get$1(f).mid && get$1(f).right }), c = set_style(i, "", c, {
				"--left": `${prefs.left ?? ""}px`,
				"--right": `${prefs.right ?? ""}px`
			});
		}), append(e, i);
	};
	if_block(S, (e) => {
		n.view.error ? e(C) : e(w, -1);
	});
	var T = sibling(S, 2), E = (e) => {
		var i = root_8(), a = first_child(i), o = (e) => {
			var i = comment();
			component(first_child(i), () => get$1(p).Palette, (e, i) => {
				i(e, { get view() {
					return n.view;
				} });
			}), append(e, i);
		};
		if_block(a, (e) => {
			ui.overlay === "palette" && e(o);
		});
		var s = sibling(a, 2), c = (e) => {
			var i = comment();
			component(first_child(i), () => get$1(p).Fork, (e, i) => {
				i(e, { get view() {
					return n.view;
				} });
			}), append(e, i);
		};
		if_block(s, (e) => {
			ui.overlay === "branch" && e(c);
		});
		var l = sibling(s, 2), u = (e) => {
			var i = comment();
			component(first_child(i), () => get$1(p).Branches, (e, i) => {
				i(e, { get view() {
					return n.view;
				} });
			}), append(e, i);
		};
		if_block(l, (e) => {
			ui.overlay === "branches" && e(u);
		});
		var d = sibling(l, 2), f = (e) => {
			var i = comment();
			component(first_child(i), () => get$1(p).Compare, (e, i) => {
				i(e, { get view() {
					return n.view;
				} });
			}), append(e, i);
		};
		if_block(d, (e) => {
			ui.overlay === "compare" && e(f);
		}), append(e, i);
	};
	if_block(T, (e) => {
		get$1(p) && e(E);
	}), bind_window_size("innerWidth", (e) => set(i, e, !0)), append(e, x), pop();
}
delegate(["click"]);
// src/App.svelte
var root = from_html("<code> </code>"), root_1 = from_html("<div class=\"problem\" role=\"alert\"><span><strong> </strong> <!></span> <button class=\"quiet small\"> </button></div>"), root_2 = from_html("<div class=\"problem mild\" role=\"status\"><span> </span><button class=\"small\"> </button></div>"), root_3 = from_html("<!> <!> <!>", 1), root_4 = from_html("<a class=\"skip\" href=\"#conversation\"> </a> <p class=\"sr\" role=\"status\" aria-live=\"polite\"> </p> <!> <!> <!> <!>", 1);
function App(e, n) {
	push$1(n, !0);
	let i = state(null), a = user_derived(() => offline ? recorded().session_id : route.session), o = user_derived(() => offline ? recorded().branch : route.get("branch", "main"));
	user_effect(() => {
		prefs.theme, prefs.density, prefs.motion, prefs.size, prefs.language, apply(), load();
	}), user_effect(() => {
		if (!get$1(a)) {
			set(i, null);
			return;
		}
		let e = new SessionView(get$1(a), get$1(o)), n = Number(new URLSearchParams(offline ? location.hash.slice(1) : location.search).get("at") ?? NaN);
		return set(i, e), Object.assign(window, { life: e }), e.open(Number.isInteger(n) ? n : null), () => e.close();
	}), onMount(() => {
		ui.readAbout(), ui.readInbox();
		let e = setInterval(() => {
			document.hidden || ui.readInbox();
		}, 1e4);
		return () => clearInterval(e);
	}), user_effect(() => {
		get$1(a) || parts$1.needHome(), ui.overlay && parts$1.needPanes();
	});
	let s = user_derived(() => ui.waiting.length + ui.payments.length);
	user_effect(() => {
		let e = get$1(i) ? get$1(i).state.session.name || get$1(i).id : t("workspace");
		document.title = `${get$1(s) ? `(${get$1(s)}) ` : ""}${e} - Life`;
	});
	let c = document.querySelector("meta[name=\"life-page\"]")?.content ?? "";
	var l = root_4(), u = first_child(l), d = only_child(u, !0), f = sibling(u, 2), p = only_child(f, !0), m = sibling(f, 2), h = (e) => {
		var n = root_1(), i = child(n), a = child(i), o = only_child(a), s = sibling(a), c = sibling(s), l = (e) => {
			var n = root(), i = only_child(n, !0);
			template_effect(() => set_text(i, ui.problem.code)), append(e, n);
		};
		if_block(c, (e) => {
			ui.problem.code && e(l);
		}), reset(i);
		var u = sibling(i, 2), d = only_child(u, !0);
		reset(n), template_effect((e, n) => {
			set_text(o, `${e ?? ""}.`), set_text(s, ` ${ui.problem.message ?? ""} ${ui.problem.nextStep ?? ""} `), set_text(d, n);
		}, [() => t("error"), () => t("close")]), delegated("click", u, () => ui.problem = null), append(e, n);
	};
	if_block(m, (e) => {
		ui.problem && e(h);
	});
	var g = sibling(m, 2), _ = (e) => {
		var n = root_2(), i = child(n), a = only_child(i, !0), o = sibling(i), s = only_child(o, !0);
		reset(n), template_effect((e, n) => {
			set_text(a, e), set_text(s, n);
		}, [() => t("pageOld"), () => t("reload")]), delegated("click", o, () => location.reload()), append(e, n);
	};
	if_block(g, (e) => {
		ui.about && c && ui.about.page !== c && e(_);
	});
	var v = sibling(g, 2), y = (e) => {
		var n = comment();
		key(first_child(n), () => get$1(i), (e) => {
			Workspace(e, { get view() {
				return get$1(i);
			} });
		}), append(e, n);
	}, b = (e) => {
		var n = comment();
		component(first_child(n), () => parts$1.home.Home, (e, n) => {
			n(e, {});
		}), append(e, n);
	};
	if_block(v, (e) => {
		get$1(i) ? e(y) : !get$1(a) && parts$1.home && e(b, 1);
	});
	var x = sibling(v, 2), S = (e) => {
		var n = root_3(), i = first_child(n), a = (e) => {
			var n = comment();
			component(first_child(n), () => parts$1.panes.Inbox, (e, n) => {
				n(e, {});
			}), append(e, n);
		};
		if_block(i, (e) => {
			ui.overlay === "inbox" && e(a);
		});
		var o = sibling(i, 2), s = (e) => {
			var n = comment();
			component(first_child(n), () => parts$1.panes.Preferences, (e, n) => {
				n(e, {});
			}), append(e, n);
		};
		if_block(o, (e) => {
			ui.overlay === "preferences" && e(s);
		});
		var c = sibling(o, 2), l = (e) => {
			var n = comment();
			component(first_child(n), () => parts$1.panes.Shortcuts, (e, n) => {
				n(e, {});
			}), append(e, n);
		};
		if_block(c, (e) => {
			ui.overlay === "shortcuts" && e(l);
		}), append(e, n);
	};
	if_block(x, (e) => {
		parts$1.panes && e(S);
	}), template_effect((e) => {
		set_text(d, e), set_text(p, ui.said);
	}, [() => t("skip")]), append(e, l), pop();
}
delegate(["click"]);
// src/main.ts
var target = document.getElementById("life");
load().then(() => {
	target && mount(App, { target });
});
export { ApiError, Approval, Copy, Diff, FAMILIES, Json, PaymentCard, PaymentQuestion, Ruler, Source, Top, VirtualList, about, advance, ago, append, at, between, bind_select_value, bind_this, bind_value, child, clsx, commands, comment, decimal, delegate, delegated, duration, each, emptyState, event, family, first_child, from_html, from_svg, get, get$1, id, if_block, index, init_select, kindName, learn, micro, moment, next, noop, offline, onMount, only_child, percent, pop, prefer, prefs, prop, proxy, push$1 as push, remove_input_defaults, remove_textarea_child, reset, route, select_option, send, set, set_attribute, set_checked, set_class, set_style, set_text, set_value, sibling, snippet, state, summary, t, template_effect, term, text$2 as text, time, toJournal, to_array, ui, untrack, usd, user_derived, user_effect, whole };
