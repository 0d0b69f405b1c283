"""The ten acceptance points of the tools (praxis.md §12): which tests prove them, and the one that no other file has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from life.aios.errors import ToolError
from life.aios.json import Json, JsonObject
from life.aios.ports.blobs import Blobs
from life.aios.ports.tools import ToolCall, ToolContext
from life.praxis.egress import EgressClient, EgressPolicy
from life.praxis.registry import ToolRegistry
from life.praxis.standard import standard_tools
from life.praxis.tools.bash import Bash
from life.praxis.workspace import WorkspacePolicy
from life.testing.clock import SeededEntropy
from tests.acceptance import missing_tests
from tests.praxis.test_standard import no_vault
from tests.praxis.tools.test_bash import PlayedSandbox, played

POINTS = {
    1: (
        "tests.praxis.test_hashline:test_acceptance_1_golden_vectors",
        "tests.praxis.test_hashline:test_acceptance_1_untouched_lines_keep_their_bytes",
        "tests.praxis.test_hashline:test_acceptance_1_apply_agrees_with_the_reference",
        "tests.praxis.tools.test_edit_file:test_acceptance_1_every_error_leaves_the_file_alone",
        "tests.praxis.tools.test_edit_file:test_files_of_any_text",
    ),
    2: (
        "tests.praxis.tools.test_edit_file:test_acceptance_2_two_edits_at_once_exactly_one_wins",
        "tests.praxis.tools.test_edit_file:test_a_foreign_change_during_the_edit_wins",
    ),
    3: (
        "tests.praxis.test_beneath:test_a_swapped_component_never_leads_out",
        "tests.praxis.test_workspace:test_acceptance_3_a_write_onto_a_name_that_becomes_a_link_never_lands_outside",
        "tests.praxis.test_workspace:test_special_files_are_refused_at_once",
        "tests.praxis.tools.test_read_file:test_places_that_are_closed",
        "tests.praxis.tools.test_write_file:test_places_that_are_closed",
        "tests.praxis.tools.test_list_dir:test_places_that_are_closed",
        "tests.praxis.tools.test_search:test_acceptance_3_places_that_are_closed",
        "tests.praxis.tools.test_search:test_acceptance_3_a_directory_that_is_swapped_for_a_link_leads_nowhere",
    ),
    4: (
        "tests.praxis.tools.test_bash:test_long_output_keeps_both_ends_and_the_whole_is_stored",
        "tests.praxis.tools.test_bash:test_a_time_limit_of_the_call",
        "tests.praxis.sandbox.test_attacks:test_a_fork_bomb_is_bounded_and_gone",
        "tests.praxis.sandbox.test_attacks:test_a_gigabyte_of_output_does_not_stay_in_memory",
        "tests.praxis.sandbox.test_attacks:test_children_that_ignore_every_signal_end_with_the_time",
        "tests.praxis.sandbox.test_backends:TestBubblewrap",
        "tests.praxis.sandbox.test_backends:TestLandlock",
    ),
    5: (
        "tests.praxis.sandbox.test_attacks:test_secrets_of_the_machine_can_not_be_read",
        "tests.praxis.sandbox.test_attacks:test_no_way_to_any_socket_outside",
        "tests.praxis.sandbox.test_proxy:test_a_sandbox_reaches_the_listed_host_and_nothing_else",
        "tests.praxis.tools.test_bash:test_file_tools_and_commands_share_one_workspace",
    ),
    6: (
        "tests.host.test_sandboxes:test_a_missing_backend_is_a_start_error",
        "tests.host.test_sandboxes:test_without_either_there_is_no_start",
        "tests.host.test_sandboxes:test_off_takes_the_tool_away",
    ),
    7: (
        "tests.praxis.test_acceptance:test_7_every_input_of_every_tool_is_checked",
        "tests.praxis.test_registry:test_time_limits_hold",
        "tests.praxis.test_function_tool:test_acceptance_7_a_time_limit_holds_for_a_function_that_never_ends",
        "tests.praxis.test_standard:test_acceptance_7_cancel_works_in_every_tool",
        "tests.praxis.tools.test_search:test_acceptance_7_cancelling_a_search_ends_it",
        "tests.praxis.tools.test_bash:test_cancelling_ends_the_tree_and_tells_what_changed",
    ),
    8: (
        "tests.praxis.skills.test_catalogue:test_the_first_skill_of_a_name_counts_and_the_others_are_listed",
        "tests.praxis.skills.test_tool:test_a_skill_for_people_only_is_not_the_models",
        "tests.praxis.skills.test_manifest:test_what_is_wrong_is_said",
        "tests.praxis.skills.test_manifest:test_a_description_can_not_break_out_of_its_line",
        "tests.praxis.skills.test_signature:test_any_change_after_signing_refuses_the_skill",
        "tests.arcan.test_skill_scope:test_only_what_every_active_skill_permits_may_be_called",
    ),
    9: (
        "tests.praxis.mcp.test_http:test_an_official_client_lists_and_calls",
        "tests.praxis.mcp.test_http:test_no_token_is_401_and_says_where_to_look",
        "tests.praxis.mcp.test_http:test_a_foreign_origin_or_host_is_403_even_with_a_token",
        "tests.praxis.mcp.test_server:test_a_call_goes_through_the_gate_and_stands_in_the_journal",
        "tests.peers.test_mcp_conformance:test_every_scenario_that_applies_passes",
    ),
    10: (
        "tests.praxis.mcp.test_toolbox:test_a_server_that_crashes_in_a_call_leaves_it_in_doubt_and_comes_back",
        "tests.praxis.mcp.test_toolbox:test_a_server_that_hangs_costs_its_time_limit_and_no_more",
        "tests.praxis.mcp.test_toolbox:test_a_server_that_floods_is_cut_off",
        "tests.praxis.mcp.test_toolbox:test_a_rug_pull_is_noticed_before_anything_is_sent",
        "tests.praxis.mcp.test_toolbox:test_over_http_a_death_a_flood_and_a_hang_are_in_doubt_and_nothing_else",
    ),
}
"""Which tests prove which point."""

FITTING: Final[dict[str, JsonObject]] = {
    "bash": {"command": "ls"},
    "edit_file": {"path": "f.txt", "ops": [{"op": "append", "new_text": "x"}]},
    "glob": {"pattern": "*"},
    "grep": {"pattern": "x"},
    "http_fetch": {"url": "http://192.0.2.1/"},
    "knowledge_search": {"query": "x"},
    "list_dir": {},
    "read_file": {"path": "f.txt"},
    "read_result": {"result": "0" * 64},
    "todo": {"items": []},
    "write_file": {"path": "f.txt", "content": "y"},
}
"""For each tool arguments that fit; spoilt one at a time below."""


def test_every_point_has_its_tests() -> None:
    """Each of the ten points names tests that exist, say what they promise, and check something."""
    assert sorted(POINTS) == list(range(1, 11))
    assert missing_tests(POINTS) == []


def spoilt(fitting: JsonObject, schema: Mapping[str, Json]) -> Iterator[Json]:
    """Arguments that do not fit the schema, each in one place: no object, something missing, something unknown, another type."""
    properties, required = schema["properties"], schema.get("required", [])
    assert isinstance(properties, dict) and isinstance(required, list)
    yield from (None, [], 7, "text", [fitting])
    yield {**fitting, "surprise": 1}
    for name in required:
        yield {key: value for key, value in fitting.items() if key != name}
    for name in properties:
        # No property of any tool takes an object like this one, and none takes both a fraction and a list.
        yield {**fitting, str(name): {"surprise": True}}
        yield {**fitting, str(name): [1.5, [None]]}


@pytest.mark.parametrize("name", sorted(FITTING))
async def test_7_every_input_of_every_tool_is_checked(
    name: str, root: Path, context: ToolContext, blobs: Blobs, tmp_path: Path
) -> None:
    """Acceptance 7: whatever does not fit a tool's schema is refused with a code before the tool does anything, in the gate's questions
    and in the call itself."""
    (root / "f.txt").write_text("old\n")
    sandbox = PlayedSandbox(played())
    async with EgressClient(EgressPolicy()) as client:
        registry = standard_tools(client, blobs=blobs, knowledge=no_vault)
        registry.register(Bash(sandbox, WorkspacePolicy(), marks_directory=tmp_path / "m", entropy=SeededEntropy()))
        definition = definition_of(registry, name)
        tried = 0
        for arguments in spoilt(FITTING[name], definition):
            call = ToolCall("c", name, arguments)
            outcome = await registry.execute(call, context)
            assert outcome.status == "error" and isinstance(outcome.output, dict), arguments
            assert str(outcome.output["code"]).startswith("praxis."), arguments
            with pytest.raises(ToolError):
                registry.capabilities(call, context)
            with pytest.raises(ToolError):
                await registry.prepare(call, context)
            tried += 1
    assert tried >= 8
    assert sandbox.asked == [] and [file.name for file in root.iterdir()] == ["f.txt"]
    assert (root / "f.txt").read_text() == "old\n"


def test_no_tool_is_left_out(blobs: Blobs) -> None:
    """The list above has every tool of the standard registry."""
    tools = standard_tools(EgressClient(EgressPolicy()), blobs=blobs, knowledge=no_vault).definitions()
    assert {tool.name for tool in tools} | {"bash"} == set(FITTING)


def definition_of(registry: ToolRegistry, name: str) -> Mapping[str, Json]:
    """The input schema of a tool."""
    return next(tool.input_schema for tool in registry.definitions() if tool.name == name)
