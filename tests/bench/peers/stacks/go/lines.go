// SPDX-License-Identifier: MIT

// N lines, gathered until one has to be waited for: in the server's process, or in a child of it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	_ "unsafe" // for linkname
)

const (
	blockBytes   = 16384
	lineBytesMax = 2048
)

// The clock that time.Now reads for itself and does not give out: CLOCK_MONOTONIC.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

type request struct {
	Inputs []struct {
		Value json.RawMessage `json:"value"`
	} `json:"inputs"`
}

// What an author sends for each line.
type value struct {
	I     int64  `json:"i"`
	TNs   int64  `json:"t_ns"`
	Chunk string `json:"chunk"`
}

type work struct {
	count, paceNs int64
	text          string
	isResult      bool
	isEach        bool   // each line leaves when it is made
	before, after []byte // of a result, around its number and its time
}

func newWork(path string, body []byte) (*work, error) {
	var asked request
	var textBytes int64
	made := &work{isResult: path == "/results", isEach: path == "/each"}
	if err := json.Unmarshal(body, &asked); err != nil {
		return nil, err
	}
	if len(asked.Inputs) != 3 {
		return nil, fmt.Errorf("three inputs are wanted")
	}
	for i, into := range []*int64{&made.count, &textBytes, &made.paceNs} {
		if err := json.Unmarshal(asked.Inputs[i].Value, into); err != nil {
			return nil, err
		}
	}
	made.paceNs *= 1000000
	made.text = strings.Repeat("x", int(textBytes))
	if made.isResult {
		made.before = []byte(os.Getenv("LINE_BEFORE") + `{"i":`)
		made.after = []byte(`,"chunk":` + strconv.Quote(made.text) + "}" + os.Getenv("LINE_AFTER") + "\n")
	}
	return made, nil
}

func (w *work) appendLine(block []byte, number, now int64) []byte {
	if !w.isResult {
		encoded, _ := json.Marshal(value{number, now, w.text}) // cannot fail
		return append(append(block, encoded...), '\n')
	}
	block = append(block, w.before...)
	block = strconv.AppendInt(block, number, 10)
	block = append(block, `,"t_ns":`...)
	block = strconv.AppendInt(block, now, 10)
	return append(block, w.after...)
}

// What comes after a block.
type next int

const (
	more    next = iota // another, at once
	waiting             // another, after a while; what there is must leave
	end                 // nothing
)

// Gives the lines to write in blocks; write says false when nobody wants more. The block is free again
// when write returns.
func (w *work) emit(write func(block []byte, then next) bool) {
	start := nanotime()
	size := int64(blockBytes + lineBytesMax)
	if w.count*lineBytesMax < size {
		size = w.count * lineBytesMax
	}
	block := make([]byte, 0, size)
	for i := int64(0); i < w.count; i++ {
		if w.paceNs > 0 {
			if wait := start + (i+1)*w.paceNs - nanotime(); wait > 0 {
				if len(block) > 0 && !write(block, waiting) {
					return
				}
				block = block[:0]
				time.Sleep(time.Duration(wait))
			}
		}
		block = w.appendLine(block, i, nanotime())
		if w.isEach && i < w.count-1 {
			if !write(block, waiting) {
				return
			}
			block = block[:0]
		} else if len(block) >= blockBytes {
			if !write(block, more) {
				return
			}
			block = block[:0]
		}
	}
	write(block, end)
}
