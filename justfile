# The commands of CONTRIBUTING.md, for those who have `just`. Nothing needs it.

default:
    @just --list

# All tests: debug, documentation, release
test *args:
    scripts/test.sh {{args}}

# All that must hold before a change lands
ci *stages:
    .ci/run {{stages}}

# Whole-queue scenarios under random schedules
shuttle *args:
    scripts/shuttle.sh {{args}}

# The loom models
loom *args:
    scripts/loom.sh {{args}}

# The journal on disks that lose power, fail or are full (Linux, as root)
kernel *args:
    scripts/kernel.sh {{args}}

# The suite under AddressSanitizer (needs nightly)
asan *args:
    scripts/asan.sh {{args}}

# Branch coverage, folder by folder (needs nightly)
coverage *args:
    scripts/coverage.sh {{args}}

# Coverage-guided fuzzing: `just fuzz script` (needs a C++ compiler)
fuzz *args:
    scripts/fuzz.sh {{args}}

# Planted bugs: does each make its test fail?
planted *args:
    scripts/planted.sh {{args}}

# The long run of everything that has one: hours
nightly:
    scripts/nightly.sh

# Formatting and lints
lint:
    cargo fmt --check
    cargo clippy --all-targets --all-features -- -D warnings

# Licences, sources, advisories
licences:
    scripts/licences.sh

# Benches of single parts: `just bench queue`
bench name *args:
    cargo bench --bench {{name}} -- {{args}}

# The comparison with the peers: `just compare --quick`
compare *args:
    cargo run --release --manifest-path benches/compare/Cargo.toml -- {{args}}

# The webhooks example: `just webhooks --help`
webhooks *args:
    cargo run --release --example webhooks -- {{args}}
