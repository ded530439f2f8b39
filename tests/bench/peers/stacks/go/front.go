// SPDX-License-Identifier: MIT

// The front: HTTP on one side, the pipes of the children on the other.
package main

import (
	"bufio"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	framesWaiting = 16      // of one stream; a client that reads slower than that holds its child up
	wideBytes     = 1 << 20 // what the kernel lets every user have
)

type frame struct {
	bytes  []byte
	isLast bool
}

type child struct {
	requests io.Writer
	mutex    sync.Mutex // of what follows, and of writing
	last     uint32     // number of a stream
	streams  map[uint32]chan frame
}

type front struct {
	children []*child
	turn     uint32
}

func newFront(childCount int) *front {
	made := &front{}
	for i := 0; i < childCount; i++ {
		made.children = append(made.children, startChild())
	}
	return made
}

func startChild() *child {
	command := exec.Command("/proc/self/exe", "child")
	command.Stderr = os.Stderr
	requests, err := command.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	replies, err := command.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	widen(replies)
	if err := command.Start(); err != nil {
		log.Fatal(err)
	}
	started := &child{requests: requests, streams: make(map[uint32]chan frame)}
	go started.deliver(bufio.NewReaderSize(replies, pipeBytes))
	return started
}

// A wide pipe lets a child go on while the front writes.
func widen(pipe io.Reader) {
	connection, err := pipe.(*os.File).SyscallConn()
	if err != nil {
		log.Fatal(err)
	}
	connection.Control(func(fd uintptr) {
		syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETPIPE_SZ, wideBytes)
	})
}

func (c *child) deliver(replies io.Reader) {
	for {
		stream, bytes, isLast, err := readFrame(replies)
		if err != nil {
			log.Fatal("a child has ended: ", err)
		}
		c.mutex.Lock()
		frames := c.streams[stream]
		if isLast {
			delete(c.streams, stream)
		}
		c.mutex.Unlock()
		frames <- frame{bytes, isLast}
	}
}

func (c *child) begin(path string, body []byte) (chan frame, error) {
	frames := make(chan frame, framesWaiting)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.last++
	c.streams[c.last] = frames
	message := appendHead(nil, c.last, uint32(1+len(path)+len(body)))
	message = append(append(append(message, byte(len(path))), path...), body...)
	_, err := c.requests.Write(message)
	return frames, err
}

func (f *front) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	turn := atomic.AddUint32(&f.turn, 1)
	frames, err := f.children[int(turn)%len(f.children)].begin(request.URL.Path, body)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadGateway)
		return
	}
	response.Header().Set("Content-Type", "application/x-ndjson")
	flusher := response.(http.Flusher)
	isGone := false
	for frame := range frames {
		if !isGone {
			_, err = response.Write(frame.bytes)
			isGone = err != nil // the child is not told; what it still sends is read and dropped
		}
		giveBlock(frame.bytes)
		if frame.isLast {
			return
		}
		if len(frames) == 0 && !isGone {
			flusher.Flush()
		}
	}
}
