// SPDX-License-Identifier: MIT

// A child: requests come through stdin, frames of lines leave through stdout.
package main

import (
	"bufio"
	"io"
	"os"
)

// Frames of all streams wait here, so that those that are ready together leave in one write.
type outlet struct {
	frames chan []byte
}

func (o *outlet) run(to io.Writer) {
	gathered := make([]byte, 0, 2*pipeBytes)
	for frame := range o.frames {
		gathered = append(gathered[:0], frame...)
		giveBlock(frame)
	gather:
		for len(gathered) < pipeBytes {
			select {
			case more := <-o.frames:
				gathered = append(gathered, more...)
				giveBlock(more)
			default:
				break gather
			}
		}
		if _, err := to.Write(gathered); err != nil {
			os.Exit(0) // the parent has gone
		}
	}
}

func (o *outlet) serve(stream uint32, path string, body []byte) {
	work, err := newWork(path, body)
	if err != nil {
		os.Exit(1) // the front sends nothing else than it was sent
	}
	work.emit(func(block []byte, then next) bool {
		length := uint32(len(block))
		if then == end {
			length |= lastFrame
		}
		frame := takeBlock(headBytes + len(block))
		o.frames <- append(appendHead(frame, stream, length), block...)
		return true
	})
}

func serveParent(from io.Reader, to io.Writer) {
	out := &outlet{frames: make(chan []byte, 64)}
	go out.run(to)
	requests := bufio.NewReaderSize(from, pipeBytes)
	for {
		stream, bytes, _, err := readFrame(requests)
		if err != nil {
			return
		}
		pathBytes := int(bytes[0])
		go out.serve(stream, string(bytes[1:1+pathBytes]), bytes[1+pathBytes:])
	}
}
