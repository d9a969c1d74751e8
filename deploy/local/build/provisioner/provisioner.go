// Package provisioner hands out volumes: a directory of this machine for each claim of its class, and removes it when the claim is
// deleted. It is here because Kubernetes' own host-path provisioner refuses ReadWriteOncePod and makes directories that only root
// may write. It trusts whoever may create a claim, and is for test clusters of one node only.
package provisioner

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"

	storagelisters "k8s.io/client-go/listers/storage/v1"
)

// Name is what a StorageClass calls this provisioner by.
const Name = "redissync.dev/local"

// Everything is looked at again this often: it repairs what an event could not.
const resync = time.Minute

type kind int

const (
	claim kind = iota
	volume
)

// item is one object that has to be looked at. Which of the two it is stands beside its name.
type item struct {
	kind kind
	key  string
}

type provisioner struct {
	directory string
	client    kubernetes.Interface
	claims    corelisters.PersistentVolumeClaimLister
	volumes   corelisters.PersistentVolumeLister
	classes   storagelisters.StorageClassLister
	queue     workqueue.TypedRateLimitingInterface[item]
}

// Main runs until SIGTERM.
func Main(arguments []string) error {
	flags := flag.NewFlagSet("local-provisioner", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "the kubeconfig to use")
	directory := flags.String("directory", "", "where the volumes' directories are made")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *kubeconfig == "" || !filepath.IsAbs(*directory) {
		return errors.New("--kubeconfig and an absolute --directory are required")
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("failed to read the kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("failed to make a client: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return run(ctx, client, *directory)
}

func run(ctx context.Context, client kubernetes.Interface, directory string) error {
	factory := informers.NewSharedInformerFactory(client, resync)
	claims := factory.Core().V1().PersistentVolumeClaims()
	volumes := factory.Core().V1().PersistentVolumes()
	classes := factory.Storage().V1().StorageClasses()
	queue := workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[item](100*time.Millisecond, 30*time.Second))
	p := &provisioner{
		directory: directory,
		client:    client,
		claims:    claims.Lister(),
		volumes:   volumes.Lister(),
		classes:   classes.Lister(),
		queue:     queue,
	}
	for kind, informer := range map[kind]cache.SharedIndexInformer{claim: claims.Informer(), volume: volumes.Informer()} {
		if _, err := informer.AddEventHandler(p.enqueue(kind)); err != nil {
			return fmt.Errorf("failed to watch: %w", err)
		}
	}
	factory.Start(ctx.Done())
	for watched, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced && ctx.Err() == nil {
			return fmt.Errorf("failed to list %s", watched)
		}
	}
	go func() {
		<-ctx.Done()
		queue.ShutDown()
	}()
	log.Printf("%s serves volumes in %s", Name, directory)
	for p.next(ctx) {
	}
	return nil
}

func (p *provisioner) enqueue(kind kind) cache.ResourceEventHandler {
	add := func(object any) {
		if key, err := cache.MetaNamespaceKeyFunc(object); err == nil {
			p.queue.Add(item{kind, key})
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, object any) { add(object) }}
}

// next looks at one object; false when there is nothing more to come.
func (p *provisioner) next(ctx context.Context) bool {
	it, ended := p.queue.Get()
	if ended {
		return false
	}
	defer p.queue.Done(it)
	act := p.provision
	if it.kind == volume {
		act = p.reclaim
	}
	if err := act(ctx, it.key); err != nil {
		log.Printf("%s: %v", it.key, err)
		p.queue.AddRateLimited(it)
	} else {
		p.queue.Forget(it)
	}
	return true
}
