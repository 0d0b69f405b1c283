// src/app/markdown.ts
var FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/;
var ITEM = /^( {0,3})([-*+]|(\d{1,9})[.)])\s+(.*)$/;
var MOST_DEPTH = 6;
function blocks(text, depth = 0) {
	const lines = text.replace(/\r\n?/g, "\n").split("\n");
	const found = [];
	let at = 0;
	while (at < lines.length) {
		const line = lines[at];
		if (!line.trim()) {
			at++;
			continue;
		}
		const fence = FENCE.exec(line);
		if (fence) {
			const mark = fence[1];
			const code = [];
			at++;
			while (at < lines.length && !lines[at].trimStart().startsWith(mark)) code.push(lines[at++]);
			at++;
			found.push({
				type: "code",
				language: fence[2] ?? "",
				text: code.join("\n")
			});
			continue;
		}
		const heading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/.exec(line);
		if (heading) {
			found.push({
				type: "h",
				level: heading[1].length,
				parts: inline(heading[2])
			});
			at++;
			continue;
		}
		if (/^ {0,3}([-*_])( *\1){2,} *$/.test(line)) {
			found.push({ type: "hr" });
			at++;
			continue;
		}
		if (/^ {0,3}>/.test(line) && depth < MOST_DEPTH) {
			const quoted = [];
			while (at < lines.length && /^ {0,3}>/.test(lines[at])) quoted.push(lines[at++].replace(/^ {0,3}> ?/, ""));
			found.push({
				type: "quote",
				blocks: blocks(quoted.join("\n"), depth + 1)
			});
			continue;
		}
		if (ITEM.exec(line) && depth < MOST_DEPTH) {
			const [list, next] = listFrom(lines, at, depth);
			found.push(list);
			at = next;
			continue;
		}
		if (line.includes("|") && /^ {0,3}\|?[\s:|-]*-[\s:|-]*$/.test(lines[at + 1] ?? "") && (lines[at + 1] ?? "").includes("|")) {
			const head = cells(line);
			const rows = [];
			at += 2;
			while (at < lines.length && lines[at].includes("|")) rows.push(cells(lines[at++]));
			found.push({
				type: "table",
				head,
				rows
			});
			continue;
		}
		const paragraph = [];
		while (at < lines.length && lines[at].trim() && !FENCE.test(lines[at]) && !(paragraph.length && (ITEM.test(lines[at]) || /^ {0,3}(#{1,6}\s|>)/.test(lines[at])))) paragraph.push(lines[at++]);
		found.push({
			type: "p",
			parts: inline(paragraph.join("\n"))
		});
	}
	return found;
}
function listFrom(lines, from, depth) {
	const first = ITEM.exec(lines[from]);
	const ordered = first[3] !== void 0;
	const items = [];
	let at = from;
	while (at < lines.length) {
		const item = ITEM.exec(lines[at]);
		if (!item || item[3] !== void 0 !== ordered) break;
		const body = [item[4]];
		at++;
		while (at < lines.length && (/^( {2,}|\t)/.test(lines[at]) || !lines[at].trim() && /^( {2,}|\t)/.test(lines[at + 1] ?? ""))) body.push(lines[at++].replace(/^(\t| {1,4})/, ""));
		items.push(blocks(body.join("\n"), depth + 1));
		if (at < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1] ?? "")) at++;
	}
	return [{
		type: "list",
		ordered,
		start: Number(first[3] ?? 1),
		items
	}, at];
}
function cells(line) {
	return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => inline(cell.trim()));
}
var INLINE = /(`+)([\s\S]+?)\1|\*\*([\s\S]+?)\*\*|__([\s\S]+?)__|~~([\s\S]+?)~~|\*([^\s*][\s\S]*?)\*|\b_([^\s_][\s\S]*?)_\b|\[([^\]]+)\]\(([^()\s]+)\)|(https?:\/\/[^\s<>()\]]+)/;
function inline(text, depth = 0) {
	const parts = [];
	let rest = text;
	while (rest) {
		const match = depth < MOST_DEPTH ? INLINE.exec(rest) : null;
		if (!match) {
			parts.push({
				type: "text",
				text: rest
			});
			break;
		}
		if (match.index) parts.push({
			type: "text",
			text: rest.slice(0, match.index)
		});
		const [whole, , code, strong, strong2, del, em, em2, label, href, bare] = match;
		const within = (words) => inline(words, depth + 1);
		if (code !== void 0) parts.push({
			type: "code",
			text: code.trim() || code
		});
		else if (strong ?? strong2) parts.push({
			type: "strong",
			parts: within(strong ?? strong2)
		});
		else if (del) parts.push({
			type: "del",
			parts: within(del)
		});
		else if (em ?? em2) parts.push({
			type: "em",
			parts: within(em ?? em2)
		});
		else {
			const address = safe(href ?? bare);
			if (address) parts.push({
				type: "link",
				href: address,
				parts: label ? within(label) : [{
					type: "text",
					text: bare
				}]
			});
			else parts.push({
				type: "text",
				text: whole
			});
		}
		rest = rest.slice(match.index + whole.length);
	}
	return parts;
}
function safe(href) {
	try {
		const url = new URL(href);
		return [
			"https:",
			"http:",
			"mailto:"
		].includes(url.protocol) ? url.href : "";
	} catch {
		return "";
	}
}
// src/app/diff.ts
var MOST_EDITS = 1500;
function diff(before, after) {
	const a = before === "" ? [] : before.replace(/\n$/, "").split("\n");
	const b = after === "" ? [] : after.replace(/\n$/, "").split("\n");
	let start = 0;
	while (start < a.length && start < b.length && a[start] === b[start]) start++;
	let end = 0;
	while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
	const middle = edits(a.slice(start, a.length - end), b.slice(start, b.length - end));
	const kinds = [
		...Array(start).fill(" "),
		...middle,
		...Array(end).fill(" ")
	];
	let old = 0;
	let now = 0;
	return kinds.map((kind) => {
		const text = kind === "+" ? b[now] : a[old];
		if (kind !== "+") old++;
		if (kind !== "-") now++;
		return {
			kind,
			text,
			old: kind === "+" ? 0 : old,
			now: kind === "-" ? 0 : now
		};
	});
}
function edits(a, b) {
	const all = () => [...a.map(() => "-"), ...b.map(() => "+")];
	if (!a.length || !b.length) return all();
	const most = Math.min(a.length + b.length, MOST_EDITS);
	const trace = [];
	let reached = new Map([[1, 0]]);
	for (let d = 0; d <= most; d++) {
		trace.push(new Map(reached));
		for (let k = -d; k <= d; k += 2) {
			let x = k === -d || k !== d && (reached.get(k - 1) ?? -1) < (reached.get(k + 1) ?? -1) ? reached.get(k + 1) ?? 0 : (reached.get(k - 1) ?? 0) + 1;
			while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
			reached.set(k, x);
			if (x >= a.length && x - k >= b.length) return walk(trace, a.length, b.length);
		}
		reached = new Map(reached);
	}
	return all();
}
function walk(trace, x, y) {
	const kinds = [];
	for (let d = trace.length - 1; d > 0; d--) {
		const reached = trace[d];
		const k = x - y;
		const down = k === -d || k !== d && (reached.get(k - 1) ?? -1) < (reached.get(k + 1) ?? -1);
		const from = down ? k + 1 : k - 1;
		const beforeX = reached.get(from) ?? 0;
		const beforeY = beforeX - from;
		while (x > beforeX && y > beforeY && x > 0 && y > 0 && !(down ? x === beforeX : y === beforeY)) {
			kinds.push(" ");
			x--;
			y--;
		}
		kinds.push(down ? "+" : "-");
		x = beforeX;
		y = beforeY;
	}
	while (x > 0 && y > 0) {
		kinds.push(" ");
		x--;
		y--;
	}
	return kinds.reverse();
}
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
};
var emptySession = {
	id: "",
	name: "",
	owner: "",
	agent: "",
	provider: "",
	created: "",
	closed: false,
	deleted: false,
	merged_into: "",
	parent: "",
	fork: 0,
	branch_name: ""
};
var emptyTotals = {
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
};
var emptyContext = {
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
		held: false,
		suspended: "",
		breaker: false,
		run: "",
		step: "",
		said: false,
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
function newEntry(given) {
	return {
		...emptyEntry,
		...given
	};
}
// src/fold/values.ts
var NOTHING = Object.freeze({});
function fields(value) {
	return typeof value === "object" && value !== null && !Array.isArray(value) ? value : NOTHING;
}
function member(from, name) {
	return Object.hasOwn(from, name) ? from[name] : void 0;
}
function items(value) {
	return Array.isArray(value) ? value : [];
}
function text(value) {
	return typeof value === "string" ? value.toWellFormed() : "";
}
function short(value, characters = 160) {
	const whole = text(value);
	if (whole.length <= characters) return whole;
	return Array.from(whole.slice(0, characters * 2)).slice(0, characters).join("");
}
function texts(value, most = 20) {
	return items(value).filter((item) => typeof item === "string").map(text).slice(0, most);
}
function count(value) {
	return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
function known(value) {
	return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value + 0 : -1;
}
function fraction(value) {
	return typeof value === "number" && Number.isFinite(value) ? value + 0 : 0;
}
function capped(total) {
	return Math.min(total, Number.MAX_SAFE_INTEGER);
}
// src/fold/rows.ts
function push(state, name, row) {
	const rows = state[name];
	rows.push(row);
	if (rows.length > CAPS[name]) rows.shift();
}
function last(rows, fits) {
	return rows.findLast(fits);
}
function patch(rows, row, changes) {
	const changed = {
		...row,
		...changes
	};
	rows[rows.lastIndexOf(row)] = changed;
	return changed;
}
function entry(state, given) {
	state.entries.push(newEntry(given));
	if (state.entries.length > CAPS.entries) {
		state.entries.shift();
		state.dropped = capped(state.dropped + 1);
	}
}
function toolEntry(state, call) {
	return last(state.entries, (row) => row.kind === "tool" && row.ref === call);
}
function notice(state, type, detail = "") {
	entry(state, {
		seq: state.seq,
		branch: state.branch,
		kind: "notice",
		ref: type,
		detail
	});
}
function mark(state, kind) {
	push(state, "marks", {
		seq: state.seq,
		kind
	});
}
function ruling(state, type, detail = "") {
	push(state, "rulings", {
		seq: state.seq,
		type,
		detail
	});
}
function total(state, added) {
	const totals = { ...state.totals };
	for (const name of Object.keys(added)) totals[name] = capped(totals[name] + (added[name] ?? 0));
	state.totals = totals;
}
// src/fold/notes.ts
var LINK = /\[\[([^\[\]|#\n]{1,120})/gu;
var MOST_LINKS = 20;
var MOST_FOUND = 12;
var SEARCHES = {
	memory_search: "matches",
	knowledge_search: "results"
};
var isSearch = (tool) => Object.hasOwn(SEARCHES, tool);
function linksIn(content) {
	const found = [];
	for (const match of content.matchAll(LINK)) {
		const target = (match[1] ?? "").replace(/^ +| +$/g, "");
		if (!target || found.includes(target)) continue;
		found.push(target);
		if (found.length === MOST_LINKS) break;
	}
	return found;
}
function noted(state, call, tool, told) {
	if (state.notes.some((row) => row.call === call)) state.notes = state.notes.filter((row) => row.call !== call);
	const given = fields(told);
	const asked = (kind, id, links) => push(state, "notes", {
		seq: state.seq,
		branch: state.branch,
		call,
		kind,
		id,
		links,
		ref: "",
		state: "asked"
	});
	if (tool === "write_memory") asked("memory", short(given.key), linksIn(text(given.content)));
	else if (tool === "memory_propose") for (const item of items(given.entries).slice(0, MOST_FOUND)) {
		const content = text(fields(item).content);
		const links = linksIn(content);
		if (links.length) asked("memory", short(content, 60), links);
	}
	else if (tool === "write_file") {
		const links = linksIn(text(given.content));
		if (links.length) asked("file", short(given.path), links);
	} else if (isSearch(tool)) asked("search", short(given.query), []);
}
function answered(state, call, tool, status, result) {
	const told = fields(result);
	for (const row of state.notes.filter((each) => each.call === call && each.state === "asked")) {
		const links = row.kind === "search" && status === "ok" ? foundIn(told, isSearch(tool) ? SEARCHES[tool] : "") : row.links;
		patch(state.notes, row, {
			state: status === "ok" ? "ok" : "failed",
			links,
			ref: row.kind === "memory" ? short(told.id) : ""
		});
	}
	if (tool !== "memory_graph" || status !== "ok") return;
	for (const item of items(told.notes).slice(0, MOST_FOUND)) {
		const note = fields(item);
		const links = items(note.links).filter((each) => text(each)).map((each) => short(each, 120)).slice(0, MOST_LINKS);
		push(state, "notes", {
			seq: state.seq,
			branch: state.branch,
			call,
			kind: "found",
			id: nameOf(note),
			links,
			ref: "",
			state: "ok"
		});
	}
}
function foundIn(told, key) {
	return items(Object.hasOwn(told, key) ? told[key] : void 0).slice(0, MOST_FOUND).map((item) => nameOf(fields(item))).filter(Boolean);
}
function nameOf(told) {
	return short(told.name) || short(told.path) || short(told.id);
}
// src/fold/runs.ts
var sessionCreated = (state, event, record) => {
	if (state.session.created) return;
	const config = fields(event.config);
	state.session = {
		...state.session,
		name: short(event.name, 200),
		owner: text(config.owner),
		provider: text(config.provider),
		created: record.timestamp
	};
};
var sessionResumed = (state) => notice(state, "SessionResumed");
var sessionClosed = (state, event) => {
	endOpenWork(state, "closed");
	state.session = {
		...state.session,
		closed: true
	};
	state.queue = [];
	state.rules = [];
	state.approvals = [];
	notice(state, "SessionClosed", short(event.reason));
};
var sessionDeleted = (state, event, record) => {
	sessionClosed(state, event, record);
	state.session = {
		...state.session,
		deleted: true
	};
};
var providerSet = (state, event) => {
	state.session = {
		...state.session,
		provider: text(event.provider)
	};
	notice(state, "arcan.provider_set", short(event.provider));
};
var branchCreated = (state, event) => {
	const name = short(event.name, 200);
	const branch = text(event.new_branch_id);
	const at = count(event.fork_point_seq);
	if (branch === state.branch) {
		const parent = text(event.parent_branch_id) || "main";
		state.session = {
			...state.session,
			parent,
			fork: at,
			branch_name: name
		};
	} else push(state, "branches", {
		id: branch,
		name,
		at,
		seq: state.seq
	});
	mark(state, "fork");
	notice(state, "BranchCreated", name);
};
var branchMerged = (state, event) => {
	mark(state, "fork");
	notice(state, "BranchMerged", text(event.source_branch_id));
};
var branchSealed = (state, event) => {
	state.session = {
		...state.session,
		merged_into: text(event.target_branch_id)
	};
	notice(state, "arcan.branch_sealed", state.session.merged_into);
};
var restored = (state, event) => notice(state, "CheckpointRestored", String(count(event.restored_to_seq)));
var userMessage = (state, event) => {
	state.breaker = false;
	mark(state, "user");
	entry(state, {
		seq: state.seq,
		branch: state.branch,
		kind: "user",
		detail: short(event.content)
	});
};
var runStarted = (state, event, record) => {
	endOpenWork(state, "interrupted");
	const run = text(record.event_id);
	const provider = text(event.specification) || text(event.provider);
	const started = record.timestamp;
	push(state, "runs", {
		id: run,
		seq: state.seq,
		started,
		provider,
		max_steps: count(event.max_iterations),
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
	});
	openSpan(state, run, "", "run", provider, started);
	state.run = run;
	total(state, { runs: 1 });
};
function openSpan(state, id, parent, kind, name, started) {
	push(state, "spans", {
		id,
		parent,
		kind,
		name,
		seq: state.seq,
		started,
		end: 0,
		ended: "",
		status: "",
		prompt: 0,
		completion: 0,
		first_ms: 0
	});
}
function endSpan(state, id, time, status) {
	const span = last(state.spans, (row) => row.id === id && !row.ended);
	if (span) patch(state.spans, span, {
		end: state.seq,
		ended: time,
		status
	});
}
var runLimits = (state, event) => {
	const run = openRun(state);
	if (!run) return;
	patch(state.runs, run, {
		max_steps: count(event.max_steps),
		max_tokens: count(event.max_tokens),
		max_cost_micro: count(event.max_cost_micro)
	});
};
var stepStarted = (state, event, record) => {
	const step = text(record.event_id);
	openSpan(state, step, state.run, "step", String(count(event.index)), record.timestamp);
	openSpan(state, step + ":model", step, "model", "", record.timestamp);
	state.step = step;
};
var stepFinished = (state, event, record) => {
	endSpan(state, state.step, record.timestamp, short(event.stop_reason) || "ok");
	state.step = "";
};
var message = (state, event, record) => {
	const role = text(event.role);
	const hasWords = typeof event.content === "string" && event.content !== "";
	if (role === "user") return userMessage(state, event, record);
	if (role !== "assistant") return;
	const usage = fields(event.token_usage);
	const prompt = count(usage.prompt_tokens);
	const completion = count(usage.completion_tokens);
	state.said = hasWords;
	if (hasWords) entry(state, {
		seq: state.seq,
		branch: state.branch,
		kind: "text",
		detail: short(event.content)
	});
	spend(state, usage, prompt, completion);
	total(state, { steps: 1 });
	const run = openRun(state);
	if (run) patch(state.runs, run, { steps: capped(run.steps + 1) });
	if (member(usage, "prompt_tokens") !== void 0) state.context = {
		...state.context,
		prompt,
		prompt_seq: state.seq
	};
	const span = last(state.spans, (row) => row.id === state.step + ":model" && !row.ended);
	if (span) patch(state.spans, span, {
		name: text(event.model),
		prompt,
		completion,
		first_ms: count(event.first_token_ms),
		end: state.seq,
		ended: record.timestamp,
		status: "ok"
	});
};
function spend(state, usage, prompt, completion) {
	const cost = count(usage.cost_micro);
	const uncosted = member(usage, "cost_micro") === void 0 ? 1 : 0;
	total(state, {
		prompt,
		completion,
		cost_micro: cost,
		uncosted
	});
	const run = openRun(state);
	if (!run) return;
	patch(state.runs, run, {
		prompt: capped(run.prompt + prompt),
		completion: capped(run.completion + completion),
		cost_micro: capped(run.cost_micro + cost),
		uncosted: capped(run.uncosted + uncosted)
	});
}
var reasoning = (state) => {
	const thought = {
		seq: state.seq,
		branch: state.branch,
		kind: "thinking"
	};
	const newest = state.entries.at(-1);
	if (newest && newest.kind === "text" && newest.seq === state.seq - 1 && newest.branch === state.branch) {
		state.entries.pop();
		entry(state, thought);
		state.entries.push(newest);
		return;
	}
	entry(state, thought);
};
var runFinished = (state, event, record) => {
	const reason = short(event.reason);
	const run = openRun(state);
	if (!run) {
		const row = last(state.runs, (each) => each.id === record.correlation_id);
		if (row) patch(state.runs, row, { reason });
		return;
	}
	const answer = short(event.final_answer);
	endRun(state, run, record, reason);
	const detail = state.said ? "" : answer;
	entry(state, {
		seq: state.seq,
		branch: state.branch,
		kind: "end",
		ref: run.id,
		label: reason,
		detail
	});
	mark(state, "end");
};
var runErrored = (state, event, record) => {
	const run = openRun(state);
	if (run) endRun(state, run, record, "error");
	total(state, { errors: 1 });
	notice(state, "RunErrored", short(event.error));
	mark(state, "failure");
};
function endRun(state, run, record, reason) {
	patch(state.runs, run, {
		end: state.seq,
		ended: record.timestamp,
		reason
	});
	endSpan(state, run.id, record.timestamp, reason);
	endOpenWork(state, "cancelled");
}
function endOpenWork(state, reason) {
	for (const call of state.calls) {
		const row = toolEntry(state, call.id);
		if (row) patch(state.entries, row, { state: "cancelled" });
	}
	const run = openRun(state);
	if (run && !run.ended) patch(state.runs, run, { reason });
	state.calls = [];
	state.approvals = [];
	state.run = "";
	state.step = "";
	state.held = false;
	state.suspended = "";
}
function openRun(state) {
	return state.run ? last(state.runs, (row) => row.id === state.run) : void 0;
}
var errorRaised = (state, event) => {
	total(state, { errors: 1 });
	notice(state, "ErrorRaised", short(event.message));
	mark(state, "failure");
};
var compacted = (state, event) => {
	state.context = {
		...state.context,
		compacted_seq: state.seq,
		dropped: count(event.dropped_count),
		before: count(event.tokens_before),
		after: count(event.tokens_after)
	};
	total(state, { compactions: 1 });
	const usage = event.token_usage;
	if (typeof usage === "object" && usage !== null && !Array.isArray(usage)) spend(state, usage, count(usage.prompt_tokens), count(usage.completion_tokens));
	notice(state, "ContextCompacted");
};
var contextFrozen = (state, event) => {
	state.context = {
		...state.context,
		frozen_seq: state.seq
	};
	blocks$1(state, "frozen", event);
};
var contextNoted = (state, event) => {
	state.context = {
		...state.context,
		noted_seq: state.seq
	};
	blocks$1(state, "noted", event);
};
var contextWindow = (state, event) => {
	state.context = {
		...state.context,
		window: count(event.window_tokens)
	};
};
function blocks$1(state, part, event) {
	state.blocks = state.blocks.filter((block) => block.part !== part);
	for (const item of items(event.blocks)) {
		const told = fields(item);
		push(state, "blocks", {
			part,
			kind: text(told.kind),
			source: text(told.source),
			tokens: count(told.tokens),
			cut: told.cut === true,
			dropped: told.dropped === true
		});
	}
}
var queued = (state, event) => {
	const id = text(event.queue_id);
	if (last(state.queue, (row) => row.id === id)) return;
	push(state, "queue", {
		id,
		mode: text(event.mode),
		message: text(event.message),
		seq: state.seq
	});
};
var unqueued = (state, event) => {
	const id = text(event.queue_id);
	state.queue = state.queue.filter((row) => row.id !== id);
};
var breakerTripped = (state, event) => {
	state.breaker = true;
	notice(state, "CircuitBreakerTripped", short(event.reason));
	ruling(state, "CircuitBreakerTripped", short(event.reason));
	mark(state, "failure");
};
var paused = (state) => {
	if (!state.run || state.held) return;
	state.held = true;
	notice(state, "arcan.run_paused");
};
var continued = (state) => {
	if (!state.held) return;
	state.held = false;
	notice(state, "arcan.run_continued");
};
var suspended = (state, event) => {
	if (!state.run || state.suspended) return;
	state.suspended = short(event.reason) || "suspended";
	notice(state, "arcan.suspended", state.suspended);
	ruling(state, "arcan.suspended", state.suspended);
};
var resumed = (state, event) => {
	if (!state.suspended) return;
	state.suspended = "";
	notice(state, "arcan.resumed", short(event.reason));
	ruling(state, "arcan.resumed", short(event.reason));
};
var told = (type, key) => (state, event) => notice(state, type, short(member(event, key)));
var RUNS = {
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
};
// src/fold/calls.ts
var TARGETS = [
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
];
var FAILED = [
	"error",
	"timeout",
	"failed",
	"refused",
	"expired"
];
var requested = (state, event) => {
	const call = text(event.call_id);
	const tool = short(event.tool_name, 100);
	const phase = text(event.category) === "client" ? "client" : "requested";
	push(state, "calls", {
		id: call,
		tool,
		seq: state.seq,
		run: "",
		state: phase
	});
	entry(state, {
		seq: state.seq,
		branch: state.branch,
		kind: "tool",
		ref: call,
		label: tool,
		state: phase,
		detail: target(event.arguments)
	});
	noted(state, call, tool, event.arguments);
	total(state, { calls: 1 });
	const run = openRun(state);
	if (run) patch(state.runs, run, { calls: capped(run.calls + 1) });
};
function target(given) {
	const told = fields(given);
	for (const name of TARGETS) {
		const found = short(member(told, name));
		if (found) return found;
	}
	return "";
}
var evaluated = (state, event) => {
	const tool = short(event.tool_name, 100);
	const allows = text(event.decision) === "allow";
	const denies = text(event.decision) === "deny";
	const call = last(state.calls, (row) => row.tool === tool && row.state === "requested");
	if (denies) total(state, { denied: 1 });
	if (!call) return;
	const row = toolEntry(state, call.id);
	if (row) patch(state.entries, row, {
		rule: short(event.rule_id),
		why: allows ? "" : short(event.explanation)
	});
	if (denies) patch(state.calls, call, { state: "refused" });
};
var approvalRequested = (state, event, record) => {
	const id = text(event.approval_id);
	const call = text(event.call_id);
	push(state, "approvals", {
		id,
		call,
		tool: short(event.tool_name, 100),
		risk: text(event.risk),
		seq: state.seq,
		asked: record.timestamp,
		capabilities: texts(event.capabilities)
	});
	total(state, { approvals: 1 });
	const row = toolEntry(state, call);
	if (row) patch(state.entries, row, { approval: id });
	phase(state, call, "waiting");
	mark(state, "approval");
};
var approvalResolved = (state, event) => {
	const id = text(event.approval_id);
	const decision = text(event.decision);
	const asked = last(state.approvals, (row) => row.id === id);
	if (!asked) return;
	state.approvals = state.approvals.filter((row) => row.id !== id);
	push(state, "decisions", {
		id,
		call: asked.call,
		tool: asked.tool,
		risk: asked.risk,
		asked_seq: asked.seq,
		seq: state.seq,
		decision,
		reason: short(event.reason)
	});
	if (decision !== "approved") total(state, { denied: 1 });
	phase(state, asked.call, decision === "approved" ? "approved" : decision === "timeout" ? "expired" : "refused");
};
var started = (state, event, record) => {
	const call = text(event.call_id);
	const run = text(event.tool_run_id);
	phase(state, call, "running");
	const row = last(state.calls, (each) => each.id === call);
	if (row) patch(state.calls, row, { run });
	openSpan(state, run, state.step || state.run, "tool", short(event.tool_name, 100), record.timestamp);
};
var completed = (state, event, record) => {
	const run = text(event.tool_run_id);
	const status = text(event.status);
	const call = text(event.call_id) || (last(state.calls, (each) => each.run === run)?.id ?? run);
	answered(state, call, short(event.tool_name, 100), status, event.result);
	end(state, call, status, count(event.duration_ms));
	endSpan(state, run, record.timestamp, status);
};
var failed = (state, event, record) => {
	const call = text(event.call_id);
	const found = last(state.calls, (each) => each.id === call);
	const status = found && (found.state === "refused" || found.state === "expired") ? found.state : "failed";
	if (found?.run) endSpan(state, found.run, record.timestamp, status);
	answered(state, call, "", status, null);
	end(state, call, status, 0);
};
function end(state, call, status, ms) {
	state.calls = state.calls.filter((row) => row.id !== call);
	state.approvals = state.approvals.filter((row) => row.call !== call);
	const row = toolEntry(state, call);
	if (row) patch(state.entries, row, {
		state: status,
		end: state.seq,
		ms
	});
	if (status === "ok") return total(state, { ok: 1 });
	total(state, { failed: 1 });
	const run = openRun(state);
	if (run) patch(state.runs, run, { failed: capped(run.failed + 1) });
	if (FAILED.includes(status)) mark(state, "failure");
}
function phase(state, call, now) {
	const found = last(state.calls, (each) => each.id === call);
	if (!found) return;
	patch(state.calls, found, { state: now });
	const row = toolEntry(state, call);
	if (row) patch(state.entries, row, { state: now });
}
var callEdited = (state, event) => {
	const call = text(event.call_id);
	const row = toolEntry(state, call);
	if (row) {
		patch(state.entries, row, { detail: target(event.arguments) });
		noted(state, call, row.label, event.arguments);
	}
	notice(state, "arcan.call_edited", short(event.by));
};
var ruleAdded = (state, event) => {
	const id = text(event.rule_id);
	if (!last(state.rules, (row) => row.id === id)) push(state, "rules", {
		id,
		tool: short(event.tool_name, 100),
		patterns: texts(event.patterns),
		by: text(event.by),
		seq: state.seq
	});
	notice(state, "arcan.rule_added", short(event.tool_name, 100));
};
var ruleRevoked = (state, event) => {
	const id = text(event.rule_id);
	state.rules = state.rules.filter((row) => row.id !== id);
	notice(state, "arcan.rule_revoked", short(event.by));
};
var inDoubt = (state, event) => {
	phase(state, text(event.call_id), "in_doubt");
	notice(state, "arcan.run_in_doubt", short(event.explanation));
	mark(state, "approval");
};
var doubtResolved = (state, event) => {
	const call = text(event.call_id);
	if (last(state.calls, (each) => each.id === call)?.state === "in_doubt") phase(state, call, "approved");
	notice(state, "arcan.doubt_resolved", short(event.decision));
};
var violation = (state, event) => {
	notice(state, "policy.violation", short(event.subject));
	mark(state, "failure");
};
var CALLS = {
	ToolCallRequested: requested,
	PolicyEvaluated: evaluated,
	ApprovalRequested: approvalRequested,
	ApprovalResolved: approvalResolved,
	ToolCallStarted: started,
	ToolCallCompleted: completed,
	ToolCallFailed: failed,
	"arcan.call_edited": callEdited,
	"arcan.rule_added": ruleAdded,
	"arcan.rule_revoked": ruleRevoked,
	"arcan.run_in_doubt": inDoubt,
	"arcan.doubt_resolved": doubtResolved,
	"policy.violation": violation
};
// src/fold/judges.ts
var scored = (state, event) => {
	push(state, "scores", {
		seq: state.seq,
		evaluator: short(event.evaluator, 100),
		value: fraction(event.score),
		label: text(event.label),
		layer: text(event.layer),
		timing: "inline",
		run: text(event.run_id),
		why: short(event.explanation, 600)
	});
	push(state, "judge", {
		seq: state.seq,
		type: "eval.InlineCompleted",
		detail: short(event.explanation)
	});
};
var judged = (state, event) => {
	for (const item of items(event.scores).slice(0, 20)) {
		const told = fields(item);
		push(state, "scores", {
			seq: state.seq,
			evaluator: short(told.evaluator, 100),
			value: fraction(told.value),
			label: text(told.label),
			layer: text(told.layer),
			timing: "async",
			run: text(event.run_id),
			why: short(told.explanation, 600) || short(event.explanation, 600)
		});
	}
	push(state, "judge", {
		seq: state.seq,
		type: "eval.AsyncCompleted",
		detail: short(event.evaluator)
	});
};
var qualityChanged = (state, event) => {
	state.quality = {
		seq: state.seq,
		value: fraction(event.aggregate_quality),
		trend: fraction(event.trend),
		inline: count(event.inline_count),
		judged: count(event.async_count)
	};
	push(state, "judge", {
		seq: state.seq,
		type: "eval.QualityChanged",
		detail: ""
	});
};
var demoOpened = (state, event) => {
	state.demo = {
		seq: state.seq,
		slug: short(event.slug, 100),
		how: text(event.how),
		simulated: texts(event.simulated).map((line) => short(line))
	};
};
var branchOffered = (state, event) => {
	const title = short(event.title, 200);
	push(state, "offers", {
		seq: state.seq,
		title,
		reason: short(event.reason, 600),
		before: count(event.before_sequence),
		message: short(event.message, 2e3)
	});
	notice(state, "demo.branch_offered", title);
	mark(state, "fork");
};
var JUDGES = {
	"eval.InlineCompleted": scored,
	"eval.AsyncCompleted": judged,
	"eval.QualityChanged": qualityChanged,
	"demo.opened": demoOpened,
	"demo.branch_offered": branchOffered
};
// src/fold/money.ts
var STATES = {
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
};
var FINAL = [
	"settled",
	"failed",
	"released",
	"declined",
	"earned"
];
function money(state, name, event) {
	if (!Object.hasOwn(STATES, name)) return;
	let now = STATES[name];
	const id = text(event.payment_id) || text(event.purchase_id) || text(event.tx_hash);
	let row = id ? last(state.payments, (each) => each.id === id) : void 0;
	const was = row?.state ?? "";
	if (FINAL.includes(was) && !FINAL.includes(now)) now = was;
	if (!row) {
		row = {
			id,
			state: now,
			seq: state.seq,
			time: state.time,
			amount_micro: 0,
			payee: "",
			resource: "",
			network: "",
			tx: "",
			reason: "",
			session: ""
		};
		push(state, "payments", row);
		entry(state, {
			seq: state.seq,
			branch: state.branch,
			kind: "payment",
			ref: id
		});
	}
	row = patch(state.payments, row, {
		state: now,
		seq: state.seq,
		time: state.time,
		amount_micro: count(event.amount_micro) || count(event.amount_micro_credits) || row.amount_micro,
		payee: text(event.payee) || text(event.recipient_address) || row.payee,
		resource: short(event.resource_url, 300) || row.resource,
		network: text(event.network) || text(event.chain) || row.network,
		tx: text(event.tx_hash) || row.tx,
		reason: short(event.reason, 300),
		session: text(event.session_id) || row.session
	});
	mark(state, "payment");
	if (now === was) return;
	if (now === "settled") total(state, {
		spent_micro: row.amount_micro,
		payments: 1
	});
	else if (now === "earned") total(state, { earned_micro: row.amount_micro });
}
// src/fold/sides.ts
var fileWrite = (state, event) => {
	const path = pathOf(event.path);
	const hash = text(event.blob_hash);
	const size = count(event.size_bytes);
	const known = last(state.files, (row) => row.path === path);
	if (known && hash && known.hash === hash && known.op !== "delete") {
		patch(state.files, known, {
			op: "write",
			size,
			seq: state.seq,
			branch: state.branch
		});
		return;
	}
	touch(state, path, "write", hash, size);
};
var fileDelete = (state, event) => touch(state, pathOf(event.path), "delete", "", -1);
function pathOf(value) {
	const path = text(value);
	return path.startsWith("/") ? path.slice(1) : path;
}
var fileRename = (state, event) => {
	const old = pathOf(event.old_path);
	const before = last(state.files, (row) => row.path === old);
	state.files = state.files.filter((row) => row.path !== old);
	touch(state, pathOf(event.new_path), "rename", before?.hash ?? "", before?.size ?? -1, old);
};
var fileMutated = (state, event) => {
	const path = pathOf(event.path);
	const hash = text(event.content_hash);
	total(state, { files: 1 });
	if (hash === "deleted") return touch(state, path, "delete", "", -1);
	const known = last(state.files, (row) => row.path === path);
	if (known && known.hash === hash && known.op !== "delete") return;
	touch(state, path, "change", hash, -1);
};
function touch(state, path, op, hash, size, was = "") {
	const before = last(state.files, (row) => row.path === path);
	state.files = state.files.filter((row) => row.path !== path);
	push(state, "files", {
		path,
		op,
		seq: state.seq,
		branch: state.branch,
		time: state.time,
		size,
		hash,
		was,
		count: before ? capped(before.count + 1) : 1
	});
}
var stateEstimated = (state, event) => {
	const told = fields(event.state);
	const budget = fields(told.budget);
	const vector = {
		seq: state.seq,
		progress: fraction(told.progress),
		uncertainty: fraction(told.uncertainty),
		risk: text(told.risk_level),
		error_streak: count(told.error_streak),
		context_pressure: fraction(told.context_pressure),
		side_effect_pressure: fraction(told.side_effect_pressure),
		human_dependency: fraction(told.human_dependency),
		tokens_remaining: count(budget.tokens_remaining),
		time_remaining_ms: count(budget.time_remaining_ms),
		tool_calls_remaining: count(budget.tool_calls_remaining),
		error_budget_remaining: count(budget.error_budget_remaining)
	};
	state.vector = vector;
	state.mode = text(event.mode);
	const { seq, progress, uncertainty, context_pressure, side_effect_pressure, error_streak } = vector;
	push(state, "samples", {
		seq,
		progress,
		uncertainty,
		context_pressure,
		side_effect_pressure,
		error_streak
	});
};
var modeChanged = (state, event) => {
	const now = text(event.to);
	push(state, "modes", {
		seq: state.seq,
		was: text(event.from),
		now,
		reason: short(event.reason)
	});
	state.mode = now;
};
var gatesUpdated = (state, event) => {
	const told = fields(event.gates);
	state.gates = {
		seq: state.seq,
		side_effects: told.allow_side_effects === true,
		approval_for_risk: text(told.require_approval_for_risk),
		tool_calls: count(told.max_tool_calls_per_tick),
		mutations: count(told.max_file_mutations_per_tick),
		network: told.allow_network === true,
		shell: told.allow_shell === true,
		reason: short(event.reason)
	};
	ruling(state, "GatesUpdated", short(event.reason));
};
var regulated = (state, event) => {
	if (event.gates_lifted === true) state.gates = null;
	ruling(state, "arcan.regulated", short(event.reason));
};
var remembered = (what, key) => (state, event) => push(state, "memory", {
	seq: state.seq,
	branch: state.branch,
	what,
	id: short(member(event, key)),
	scope: text(event.scope),
	path: short(event.path)
});
var peerStarted = (state, event) => push(state, "peers", {
	call: text(event.call_id),
	agent: text(event.agent),
	session: text(event.session_id),
	state: "working",
	seq: state.seq,
	detail: short(event.objective)
});
var peerMoved = (key) => (state, event) => {
	const call = text(event.call_id);
	const row = last(state.peers, (each) => each.call === call);
	if (row) patch(state.peers, row, {
		state: short(member(event, key)),
		seq: state.seq
	});
};
function family(state, name, event) {
	const detail = short(event.reason) || short(event.explanation);
	if (name.startsWith("eval.")) push(state, "judge", {
		seq: state.seq,
		type: name,
		detail
	});
	else if (name.startsWith("anima.")) push(state, "identity", {
		seq: state.seq,
		type: name,
		detail
	});
	else if (name.startsWith("autonomic.")) ruling(state, name, detail);
	else if (name.startsWith("skill.")) notice(state, name, short(event.name));
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
};
// src/fold/spaces.ts
var peersFound = (state, event) => {
	for (const item of items(event.peers).slice(0, 50)) {
		const told = fields(item);
		const row = met(state, told);
		if (!row) continue;
		patch(state.contacts, row, {
			skills: texts(told.skills).map((skill) => short(skill, 100)),
			price_micro: known(told.price_micro),
			trust_micro: known(told.trust_micro),
			...Object.hasOwn(told, "online") ? { presence: told.online === true ? "online" : "offline" } : {}
		});
	}
};
var channelsSeen = (state, event) => {
	for (const item of items(event.channels).slice(0, 100)) {
		const told = fields(item);
		inChannel(state, count(told.id), event, short(told.name, 100), text(told.type));
	}
};
var channelCreated = (state, event) => inChannel(state, count(event.channel_id), event, short(event.name, 100));
var messageSent = (state, event) => {
	const place = short(event.channel, 100);
	const channel = count(event.channel_id);
	inChannel(state, channel, event, place);
	say(state, "message", event, channel, place, number(event.message_id), event.text);
};
var messagesRead = (state, event) => {
	const place = short(event.channel, 100);
	const channel = count(event.channel_id);
	inChannel(state, channel, event, place);
	heard(state, "message", event, channel, place);
};
var dmSent = (state, event) => {
	const peer = fields(event.peer);
	met(state, peer);
	say(state, "dm", event, 0, short(peer.name, 100), number(event.message_id), event.text);
};
var dmsRead = (state, event) => {
	const peer = fields(event.peer);
	met(state, peer);
	heard(state, "dm", event, 0, short(peer.name, 100));
};
var logged = (state, event) => say(state, "log", event, count(event.channel_id), "", number(event.message_id), event.kind);
var asked = (state, event) => {
	const peer = fields(event.peer);
	met(state, peer);
	const name = short(peer.name, 100);
	const ask = text(event.ask_id);
	say(state, "question", event, 0, name, ask, event.question);
	if (text(event.answer)) say(state, "answer", event, 0, name, ask, event.answer, name);
};
var hired = (state, event) => {
	const peer = fields(event.peer);
	met(state, peer);
	hire(state, event, peer);
};
var hireChanged = (state, event) => {
	const peer = fields(event.peer);
	met(state, peer);
	const row = hire(state, event, peer);
	patch(state.hires, row, {
		paid_micro: count(event.paid_micro),
		refunded_micro: count(event.refunded_micro),
		reason: short(event.reason, 500) || row.reason,
		result: short(event.result, 500) || row.result
	});
};
var peerHired = (state, event) => {
	const name = short(event.peer, 100);
	met(state, {
		name,
		is_agent: true
	});
	push(state, "hires", {
		seq: state.seq,
		id: `demo/${state.seq}`,
		role: "customer",
		peer: name,
		name,
		title: short(event.task, 200),
		state: text(event.state),
		price_micro: count(event.price_micro),
		paid_micro: count(event.price_micro),
		refunded_micro: 0,
		escrow: "none",
		reason: "",
		result: short(event.delivered, 500),
		stars: 0
	});
};
var rated = (state, event) => {
	const contact = met(state, fields(event.peer));
	const stars = count(event.stars);
	const trust = known(event.trust_micro);
	if (contact) patch(state.contacts, contact, {
		stars,
		trust_micro: trust < 0 ? contact.trust_micro : trust
	});
	const row = last(state.hires, (each) => each.id === text(event.hire_id));
	if (row) patch(state.hires, row, { stars });
};
function met(state, told) {
	const id = short(told.identity, 100) || short(told.name, 100);
	if (!id) return void 0;
	const row = last(state.contacts, (each) => each.id === id);
	const name = short(told.name, 100);
	const agent = told.is_agent === true;
	if (row) return patch(state.contacts, row, {
		seq: state.seq,
		name: name || row.name,
		agent
	});
	const made = {
		seq: state.seq,
		id,
		name,
		agent,
		skills: [],
		price_micro: -1,
		trust_micro: -1,
		presence: "",
		stars: 0
	};
	push(state, "contacts", made);
	return made;
}
function inChannel(state, id, event, name, type = "") {
	const row = last(state.channels, (each) => each.id === id);
	if (row) patch(state.channels, row, {
		seq: state.seq,
		name: name || row.name,
		type: type || row.type
	});
	else push(state, "channels", {
		seq: state.seq,
		id,
		space: count(event.space_id),
		name,
		type
	});
}
function say(state, kind, event, channel, place, id, words, who = "") {
	if (last(state.talk, (row) => row.kind === kind && row.id === id && row.channel === channel)) return;
	push(state, "talk", {
		seq: state.seq,
		kind,
		id,
		channel,
		place,
		who,
		mine: !who,
		text: short(words, 500),
		at_us: count(event.at_us)
	});
}
function heard(state, kind, event, channel, place) {
	for (const item of items(event.last).slice(0, 5)) {
		const told = fields(item);
		say(state, kind, told, channel, place, number(told.message_id), told.text, short(fields(told.from).name, 100) || "?");
	}
}
function hire(state, event, peer) {
	const id = text(event.hire_id);
	const row = last(state.hires, (each) => each.id === id);
	const now = {
		seq: state.seq,
		state: text(event.state),
		escrow: text(event.escrow)
	};
	if (row) return patch(state.hires, row, now);
	const made = {
		id,
		role: text(event.role),
		peer: short(peer.identity, 100),
		name: short(peer.name, 100),
		title: short(event.title, 200),
		price_micro: count(event.price_micro),
		paid_micro: 0,
		refunded_micro: 0,
		reason: "",
		result: "",
		stars: 0,
		...now
	};
	push(state, "hires", made);
	return made;
}
var number = (value) => String(count(value));
var SPACES = {
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
};
// src/fold/fold.ts
var MOST_KINDS = 300;
var STEPS = new Map(Object.entries({
	...RUNS,
	...CALLS,
	...SIDES,
	...JUDGES,
	...SPACES
}));
function advance(state, record) {
	if (!(record.sequence > 0)) return;
	if (record.branch_id !== state.branch) enterBranch(state, record);
	state.seq = record.sequence;
	state.time = record.timestamp;
	state.events = capped(state.events + 1);
	let event = fields(record.kind);
	let name = text(event.type) || "Unknown";
	if (name === "Custom") {
		name = text(event.event_type) || "Custom";
		event = fields(event.data);
	}
	name = short(name, 100);
	countKind(state, name);
	if (!state.session.id) state.session = {
		...state.session,
		id: text(record.session_id),
		agent: text(record.agent_id)
	};
	const step = STEPS.get(name);
	if (step) step(state, event, record);
	else if (name.startsWith("finance.")) money(state, name, event);
	else family(state, name, event);
	state.status = status(state);
}
function countKind(state, name) {
	let counted = name;
	if (!Object.hasOwn(state.kinds, name) && Object.keys(state.kinds).length >= MOST_KINDS) counted = "other";
	const before = Object.hasOwn(state.kinds, counted) ? state.kinds[counted] : 0;
	Object.defineProperty(state.kinds, counted, {
		value: capped(before + 1),
		enumerable: true,
		configurable: true,
		writable: true
	});
}
function enterBranch(state, record) {
	state.branch = text(record.branch_id);
	if (state.events === 0) return;
	endOpenWork(state, "forked");
	Object.assign(state, {
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
	});
	state.session = {
		...state.session,
		merged_into: ""
	};
}
function status(state) {
	if (state.session.closed) return "closed";
	if (!state.run) return "idle";
	let waiting = false;
	for (const call of state.calls) {
		if (call.state === "in_doubt") return "in_doubt";
		waiting ||= call.state === "waiting" || call.state === "client";
	}
	if (waiting) return "waiting";
	return state.held || state.suspended ? "paused" : "running";
}
function copy(state) {
	const made = { ...state };
	for (const name of Object.keys(made)) {
		const value = made[name];
		if (Array.isArray(value)) Object.assign(made, { [name]: value.slice() });
	}
	made.kinds = { ...state.kinds };
	return made;
}
function fold(records, from = emptyState()) {
	const state = copy(from);
	for (const record of records) advance(state, record);
	return state;
}
function canonical(value) {
	if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
	if (typeof value === "object" && value !== null) {
		const members = value;
		return `{${Object.keys(members).sort().map((name) => `${JSON.stringify(name)}:${canonical(members[name])}`).join(",")}}`;
	}
	return JSON.stringify(value);
}
async function digest(state) {
	const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(canonical(state)));
	return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
export { advance, blocks, canonical, copy, diff, digest, emptyState, fold };
