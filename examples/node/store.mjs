// Secrets in files of mode 0600, one for each name. On a real server: a secret manager, or files on an encrypted disk.

import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";

export function fileStore(folder) {
  const path = (name) => join(folder, encodeURIComponent(name));
  return {
    async save(name, secret) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const temporary = `${path(name)}.${process.pid}.tmp`;
      const file = await open(temporary, "w", 0o600);
      await file.writeFile(secret);
      await file.sync();
      await file.close();
      await rename(temporary, path(name));
    },
    async load(name) {
      try {
        return await readFile(path(name));
      } catch (error) {
        if (error.code === "ENOENT") return undefined;
        throw error;
      }
    },
  };
}
