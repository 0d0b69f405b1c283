"""Known answers used by several tests.

Keys here are public test keys: repeated bytes, counting bytes, and the accounts of the mnemonic
"test test test test test test test test test test test junk" that every Ethereum development node uses.
"""

SEED_A = bytes([0x42]) * 32
SEED_B = bytes(range(32))

# Anima reference vectors, appendix A (HKDF-SHA-256 of the seeds above).
P256_SECRET_A = bytes.fromhex("ecef809ce195b873e216efe73e4aa6c5f85876e03b90c26cebbe5a6e5c81e0f0")
P256_PUBLIC_A = bytes.fromhex("02f654526a0943609a1faadeaae5fc0d7cea206ac78b0d6611382e93adf849f7cf")
DID_A = "did:key:zDnaeh1Xuzt2zXCZUYDU7cbTGqnXSDiXb7op6rbf13zvauj6v"
THUMBPRINT_A = "C-CoLXpofMfKXsEQ0_dSBRqWQWLvneMzhDkl15lJT7M"
SECP256K1_SECRET_A = bytes.fromhex("bb43bbead104a9680441f1083bfc1cf5b74e3d17b544d4f18e60c12ab39613f3")
ADDRESS_A = "0x8cEa92Eb71bee6E0a86eB66797541b1238C585aa"
ED25519_DID_A = "did:key:z6MkuU3oeMGkijJzo6sCZKXFEMhGP7VADwWMfazoAjigoom6"

P256_SECRET_B = bytes.fromhex("a96d41e088cc60fd4c405326e8ef131835f3694ec95d775ff4186ea69f10139c")
P256_PUBLIC_B = bytes.fromhex("027cbd4f34756620128fcd3811dfb3d178a2c81ffed2bf71e8c40d5e1ef16a4a1f")
DID_B = "did:key:zDnaeYpu2WigB5WSkeZKMR9Fiye5knQQCee467kQhccbruitW"
THUMBPRINT_B = "fDqY-NHzxmff5J-SIBHOxQayNpZZTjD3o7mx0nZapFk"
SECP256K1_SECRET_B = bytes.fromhex("f6cbb193542cacb31568ab1693b3e27d0867bcf1f85bf3dcd315cd735a8ad476")
ADDRESS_B = "0x8D3877fc9d011190Cc9089Dc8B63283414f8049a"

# Anima reference vectors, appendix A: rotation proof A to B, iat 1777593600, RFC 6979 nonce.
ROTATION_PROOF = (
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImRpZDprZXk6ekRuYWVoMVh1enQyelhDWlVZRFU3Y2JUR3FuWFNEaVhiN29wNnJiZjEz"
    "enZhdWo2diJ9.eyJpc3MiOiJkaWQ6a2V5OnpEbmFlaDFYdXp0MnpYQ1pVWURVN2NiVEdxblhTRGlYYjdvcDZyYmYxM3p2YXVqNnYiLCJzdWIiOiJk"
    "aWQ6a2V5OnpEbmFlWXB1MldpZ0I1V1NrZVpLTVI5Rml5ZTVrblFRQ2VlNDY3a1FoY2NicnVpdFciLCJ0eXBlIjoiYW5pbWEucm90YXRpb25fcHJvb2"
    "YiLCJpYXQiOjE3Nzc1OTM2MDB9.NMTzou9tOORSORiKjnusg01ckc70Y3wKzUnOkI09d1FIswwg_x4X_N26Qnru9eVPjlzR9aIXZIydL2H5HZpBXw"
)

# Accounts 0 and 1 of the development mnemonic.
DEV_SECRET_0 = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
DEV_ADDRESS_0 = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
DEV_SECRET_1 = bytes.fromhex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
DEV_ADDRESS_1 = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"

USDC_BASE = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
USDC_BASE_SEPOLIA = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
