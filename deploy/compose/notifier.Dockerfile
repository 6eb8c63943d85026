# The reference service. Build it from the top of the repository, as compose.yaml does.
FROM rust:1.95.0-slim-bookworm AS build
# The toolchain of the image, not the one that rust-toolchain.toml would fetch.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /source
COPY . .
RUN cargo build --release --locked --package notifier

FROM debian:12.12-slim
RUN useradd --system --no-create-home service
COPY --from=build /source/target/release/notifier /usr/local/bin/notifier
USER service
CMD ["notifier", "work"]
