"""The document gives TypeScript types that a program can be checked against."""

import json
import subprocess

from conftest import ROOT

BIN = ROOT / ".deps" / "npm" / "node_modules" / ".bin"

USE = """
import type { paths, operations } from "./quiver";

type Query = operations["query"]["requestBody"]["content"]["application/json"];
type Answer = operations["query"]["responses"][200]["content"]["application/json"];
type Created = paths["/namespaces"]["post"]["requestBody"]["content"]["application/json"];

export const query: Query = { vector: [0.1, 0.9], top_k: 3 };
export const created: Created = { name: "docs", dimension: 2 };
export function best(answer: Answer): string | undefined {
  const score: number | undefined = answer.results[0]?.score;
  return score === undefined ? undefined : answer.results[0]?.id;
}
"""
MISUSE = USE + '\nexport const wrong: Query = { vector: "0.1" };\n'


def check(directory, program: str) -> subprocess.CompletedProcess:
    (directory / "use.ts").write_text(program)
    options = {"strict": True, "noEmit": True, "module": "esnext", "moduleResolution": "bundler"}
    options |= {"target": "es2022", "types": [], "noUncheckedIndexedAccess": True}
    config = {"compilerOptions": options, "files": ["use.ts"]}
    (directory / "tsconfig.json").write_text(json.dumps(config))
    command = [BIN / "tsc", "--noEmit", "-p", directory]
    return subprocess.run(command, check=False, cwd=directory, capture_output=True, text=True, timeout=120)


def test_types(tmp_path):
    # A member with a default may be left out of a request.
    command = [BIN / "openapi-typescript", ROOT / "openapi" / "openapi.json"]
    command += ["-o", tmp_path / "quiver.ts", "--default-non-nullable=false"]
    made = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    accepted = check(tmp_path, USE)
    assert accepted.returncode == 0, accepted.stdout
    refused = check(tmp_path, MISUSE)
    line = 1 + MISUSE[: MISUSE.index("const wrong")].count("\n")
    errors = [text for text in refused.stdout.splitlines() if "error TS" in text]
    assert refused.returncode != 0
    assert len(errors) == 1 and errors[0].startswith(f"use.ts({line},"), refused.stdout
