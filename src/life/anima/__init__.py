"""Identity: the soul, the DID, the wallet, and custody of the keys behind them (anima.md).

soul, policy, lineage       who the agent was born as: sealed by a hash, never changed
identity, events, state     what the journal says of it since
home, seed_file, key_source the `.life/identity` folder and the encrypted seed in it
custody                     the backends that sign; nothing outside of them sees key bytes
tokens                      short-lived proofs of identity for other services
"""
