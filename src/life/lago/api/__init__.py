"""Lago over HTTP (lago.md §9): the routes of lagod, by what they are about.

callers    who asks, as the routes see it
bodies     strict bodies and parameters, with limits
desks      file desks for callers
entries    a file in an answer
content    contents of blobs and files: types, ranges, conditions
sessions   making and listing sessions
events     append, read, head, stream
branches   branches and merges
files      files, manifests, diffs, snapshots
memory     an owner's own files, under `/memory`
blobs      contents by their hash
policy     explanations, approvals, use and quotas
admitted   what every request passes: quota of calls, then the policy
"""
