# syntax=docker/dockerfile:1
# Static binary, no shell, no root. Mount a volume at /data for the embedded
# store; with --roles and Azure engines nothing is written.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/modelwarden ./cmd/modelwarden \
 && mkdir -p /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/modelwarden /usr/local/bin/modelwarden
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV MODELWARDEN_DATA=/data MODELWARDEN_LISTEN=0.0.0.0:8080
EXPOSE 8080
VOLUME ["/data"]
ENTRYPOINT ["/usr/local/bin/modelwarden"]
CMD ["serve"]
