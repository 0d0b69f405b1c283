"""Identity: the soul, the DID, the wallet, and custody of the keys behind them (anima.md).

soul, policy, lineage            who the agent was born as: sealed by a hash, never changed
identity, events, state          what the journal says of it since: `state` folds keys, custody and beliefs
chain, revocation, key_history   rotations and revocations, each with its signed proof
rotation, revoking, migration    writing them; `seed_rotation` for keys that follow from a seed file
beliefs, attestations            what it holds to be true, and what others sign about it
home, seed_file, key_source      the `.life/identity` folder and the encrypted seed in it
custody                          the backends that sign; nothing outside of them sees key bytes
registry, guarded_custody        every identity of a journal, and handles that stop when their key does
tokens, verifier, user_tokens    short-lived proofs of identity: one issuer, one verifier
capability_tokens, scopes        permits that only get narrower
document, well_known, kya, api   what it publishes, and how others check it
agent_self, report               what other subsystems receive, and what people see
"""
