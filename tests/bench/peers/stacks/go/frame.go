// SPDX-License-Identifier: MIT

// What goes through the pipes: a head of 8 bytes, the stream's number and the length, and that many bytes.
package main

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

const (
	headBytes  = 8
	pipeBytes  = 65536
	smallBytes = 2048
	lastFrame  = 1 << 31 // in the length: the stream ends with this frame
)

// Large blocks are used again: at these rates new ones would keep the collector busy.
var blocks = sync.Pool{New: func() any { return make([]byte, 0, headBytes+blockBytes+lineBytesMax) }}

func takeBlock(size int) []byte {
	if size <= smallBytes {
		return make([]byte, 0, size)
	}
	return blocks.Get().([]byte)[:0]
}

func giveBlock(block []byte) {
	if cap(block) > smallBytes {
		blocks.Put(block)
	}
}

func appendHead(out []byte, stream uint32, length uint32) []byte {
	out = binary.LittleEndian.AppendUint32(out, stream)
	return binary.LittleEndian.AppendUint32(out, length)
}

// The next frame, in a block that the caller gives back.
func readFrame(from io.Reader) (stream uint32, bytes []byte, isLast bool, err error) {
	var head [headBytes]byte
	if _, err = io.ReadFull(from, head[:]); err != nil {
		return
	}
	stream = binary.LittleEndian.Uint32(head[:])
	length := binary.LittleEndian.Uint32(head[4:])
	isLast = length&lastFrame != 0
	length &^= lastFrame
	bytes = takeBlock(int(length))
	if int(length) > cap(bytes) {
		return stream, nil, isLast, errors.New("a frame is longer than a block")
	}
	bytes = bytes[:length]
	_, err = io.ReadFull(from, bytes)
	return
}
