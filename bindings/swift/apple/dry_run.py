#!/usr/bin/env python3
"""Runs xcframework.sh with stand-ins for rustup, cargo, lipo and xcodebuild, and checks what comes of it. They refuse what the real ones are known to refuse.

    bindings/swift/apple/dry_run.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve()
SWIFT = HERE.parents[1]
FRAMEWORK = {
    "macos": {"arm64", "x86_64"},
    "ios": {"arm64"},
    "ios-simulator": {"arm64", "x86_64"},
}
TRIPLES = {
    "aarch64-apple-darwin": ("macos", "arm64"),
    "x86_64-apple-darwin": ("macos", "x86_64"),
    "aarch64-apple-ios": ("ios", "arm64"),
    "aarch64-apple-ios-sim": ("ios-simulator", "arm64"),
    "x86_64-apple-ios": ("ios-simulator", "x86_64"),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tools, target, cwd = (Path(folder, name) for name in ("tools", "target", "cwd"))
        for made in (tools, cwd):
            made.mkdir()
        for tool in ("rustup", "cargo", "lipo", "xcodebuild", "uname"):
            (tools / tool).symlink_to(HERE)
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "CARGO_TARGET_DIR": str(target), "INSTALLED": f"{folder}/installed"}
        for name in ("xcframework.sh", "package.sh"):
            subprocess.run(["bash", "-n", SWIFT / name], check=True)
        # Twice, and by a path from where the caller is.
        for _ in range(2):
            subprocess.run([SWIFT / "xcframework.sh", "out"], check=True, env=environment, cwd=cwd)
        packed(cwd / "out")


def packed(out: Path) -> None:
    """What is packed is a package whose binary target is there."""
    manifest = (out / "Package.swift").read_text()
    framework = out / "SealwireFFI.xcframework"
    must(f'path: "{framework.name}"' in manifest, "Package.swift names the framework")
    slices = {path.name: path for path in framework.iterdir()}
    must(slices.keys() == FRAMEWORK.keys(), f"it has every platform: {sorted(slices)}")
    for platform, path in slices.items():
        library = path / "libsealwire_bindings.a"
        must(architectures(library) == (platform, FRAMEWORK[platform]), f"{platform} has its processors")
        # Where the compiler finds a module by its name, and no other framework's module map is in the way.
        headers = path / "Headers"
        must([entry.name for entry in headers.iterdir()] == ["sealwireFFI"], "headers are in a folder of the module's name")
        module = (headers / "sealwireFFI/module.modulemap").read_text()
        must(module.startswith("module sealwireFFI {") and 'header "sealwireFFI.h"' in module, "the module map names module and header")
        must((headers / "sealwireFFI/sealwireFFI.h").is_file(), "the header is beside it")
    must("import sealwireFFI" in (out / "Sources/SealwireRaw/SealwireFFI.swift").read_text(), "the sources import the module")
    must(not (out / "Sources/sealwireFFI").exists() and not (out / "lib").exists(), "nothing of Linux is there")


def rustup(arguments: list[str]) -> None:
    must(arguments[:2] == ["target", "add"], "targets are added")
    Path(os.environ["INSTALLED"]).write_text("\n".join(arguments[2:]))


def cargo(arguments: list[str]) -> None:
    release = Path(os.environ["CARGO_TARGET_DIR"])
    must({"--locked", "--release"} <= set(arguments) and value(arguments, "-p") == "sealwire-bindings", "the library, for release")
    if arguments[0] == "build":
        release /= "release"
        release.mkdir(parents=True, exist_ok=True)
        (release / "libsealwire_bindings.dylib").write_text("")
        if not (release / "uniffi-bindgen").exists():
            (release / "uniffi-bindgen").symlink_to(HERE)
        return
    triple = value(arguments, "--target")
    must(arguments[0] == "rustc" and value(arguments, "--crate-type") == "staticlib", "an archive")
    must(triple in Path(os.environ["INSTALLED"]).read_text().split(), f"{triple} is installed")
    must(os.environ["MACOSX_DEPLOYMENT_TARGET"] == "12.0" and os.environ["IPHONEOS_DEPLOYMENT_TARGET"] == "15.0", "for the versions of Package.swift")
    (release / triple / "release").mkdir(parents=True, exist_ok=True)
    (release / triple / "release/libsealwire_bindings.a").write_text(triple)


def bindgen(arguments: list[str]) -> None:
    must(arguments[-1].endswith(".dylib") and Path(arguments[-1]).exists(), "it reads a Mac's library")
    out = Path(value(arguments, "--out-dir"))
    (out / "SealwireFFI.swift").write_text("import sealwireFFI\n")
    (out / "sealwireFFI.h").write_text("\n")
    (out / "sealwireFFI.modulemap").write_text('module sealwireFFI {\n    header "sealwireFFI.h"\n}\n')


def lipo(arguments: list[str]) -> None:
    *inputs, option, output = arguments[1:]
    must(arguments[0] == "-create" and option == "-output", "lipo -create IN… -output OUT")
    triples = [Path(library).read_text() for library in inputs]
    processors = [TRIPLES[triple][1] for triple in triples]
    must(len(set(processors)) == len(processors), "a fat file has each processor once")
    Path(output).write_text("\n".join(triples))


def xcodebuild(arguments: list[str]) -> None:
    must(arguments[0] == "-create-xcframework", "xcodebuild -create-xcframework")
    output = Path(value(arguments, "-output"))
    must(output.suffix == ".xcframework" and not output.exists(), "a new framework")
    pairs = [arguments[at : at + 4] for at in range(1, len(arguments) - 2, 4)]
    must(arguments[1 + 4 * len(pairs) :] == ["-output", str(output)], "nothing but libraries, each with its headers, and where to")
    for library_option, library, headers_option, headers in pairs:
        must((library_option, headers_option) == ("-library", "-headers"), "-library LIBRARY -headers FOLDER")
        must(Path(headers).is_dir(), "headers are a folder")
        platform, _ = architectures(Path(library))
        path = output / platform
        must(not path.exists(), f"{platform} comes once")
        path.mkdir(parents=True)
        (path / Path(library).name).write_text(Path(library).read_text())
        subprocess.run(["cp", "-r", headers, path / "Headers"], check=True)


def architectures(library: Path) -> tuple[str, set[str]]:
    """The platform of an archive, and its processors."""
    found = [TRIPLES[triple] for triple in library.read_text().split()]
    platforms = {platform for platform, _ in found}
    must(len(platforms) == 1, "an archive is for one platform")
    return platforms.pop(), {processor for _, processor in found}


def value(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def must(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"{Path(sys.argv[0]).name}: not so: {what}")


if __name__ == "__main__":
    tool = {"rustup": rustup, "cargo": cargo, "lipo": lipo, "xcodebuild": xcodebuild, "uniffi-bindgen": bindgen}.get(Path(sys.argv[0]).name)
    if Path(sys.argv[0]).name == "uname":
        print("Darwin")
    elif tool:
        tool(sys.argv[1:])
    else:
        main()
