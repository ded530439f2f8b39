<?php
// SPDX-License-Identifier: MIT
// lines.php - N lines, as fast as they are taken or one every MS ms; flushed before a wait, or each of them.

// What stands around the value when the bytes are to be those of a result; nothing when the line is its own.
function emit(int $count, string $text, int $pace_ns, bool $flushes_each, ?string $before, ?string $after): void
{
    $encoded = json_encode($text);
    $start = hrtime(true);
    for ($i = 0; $i < $count; $i++) {
        if ($pace_ns > 0) {
            $wait = $start + ($i + 1) * $pace_ns - hrtime(true);
            if ($wait > 0) {
                ob_flush();
                flush();
                time_nanosleep(intdiv($wait, 1000000000), $wait % 1000000000);
            }
        }
        $now = hrtime(true);
        if ($before === null) {
            echo json_encode(['i' => $i, 't_ns' => $now, 'chunk' => $text]), "\n";
        } else {
            echo "$before{\"i\":$i,\"t_ns\":$now,\"chunk\":$encoded}$after\n";
        }
        if ($flushes_each) {
            ob_flush();
            flush();
        }
    }
}

$request = json_decode(file_get_contents('php://input'), true);
[$count, $text_bytes, $pace_ms] = array_column($request['inputs'], 'value');
$flushes_each = $_SERVER['REQUEST_URI'] === '/each';
$is_result = $_SERVER['REQUEST_URI'] === '/results';
header('Content-Type: application/x-ndjson');
if ($pace_ms > 0 || $flushes_each) {
    header('X-Accel-Buffering: no');
}
emit($count, str_repeat('x', $text_bytes), $pace_ms * 1000000, $flushes_each, $is_result ? getenv('LINE_BEFORE') : null,
     $is_result ? getenv('LINE_AFTER') : null);
