# SPDX-License-Identifier: MIT
"""asyncio - the calls of pipeline.cloud.pipelines for asyncio, where the original package has them."""
