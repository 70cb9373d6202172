"""One file into `$STAGE_ARTIFACTS/NAME.zip`; refuses what the real action refuses."""

import os
import sys
import zipfile
from pathlib import Path

name, file = os.environ["NAME"], Path(os.environ["FILE"])
# @actions/artifact, path-and-artifact-name-validation.ts
if not name or any(char in name for char in '":<>|*?\r\n\\/'):
    sys.exit(f"the artifact name is not valid: {name}")
if not os.environ["DAYS"].isdecimal() or int(os.environ["DAYS"]) > 90:
    sys.exit("retention-days is a number up to 90")
if os.environ.get("STAGE_UPLOADS_FAIL"):
    sys.exit("Failed to CreateArtifact: Unable to make request: ECONNRESET")
if not file.is_file():
    print(f"No files were found with the provided path: {file}")
    sys.exit(os.environ["MISSING"] == "error")
target = Path(os.environ["STAGE_ARTIFACTS"]) / f"{name}.zip"
with target.open("xb") as handle, zipfile.ZipFile(handle, "w") as archive:
    archive.write(file, file.name)
print(f"Artifact {name} has been successfully uploaded!")
