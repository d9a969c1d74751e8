package provisioner

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// The volume controller puts the first on a claim that waits for a provisioner; we put the second on a volume.
const (
	wantedFrom    = "volume.kubernetes.io/storage-provisioner"
	provisionedBy = "pv.kubernetes.io/provisioned-by"
)

// provision makes a volume for a claim that has none and asks for one of ours.
func (p *provisioner) provision(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return nil
	}
	claim, err := p.claims.PersistentVolumeClaims(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("failed to read the claim: %w", err)
	}
	if claim.Annotations[wantedFrom] != Name || claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil {
		return nil
	}
	if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode != core.PersistentVolumeFilesystem {
		log.Printf("%s: volumeMode %s is refused: only Filesystem is served", key, *claim.Spec.VolumeMode)
		return nil
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if err != nil {
		return fmt.Errorf("failed to read the StorageClass %s: %w", *claim.Spec.StorageClassName, err)
	}
	// By the claim's uid: a claim that is deleted and made again gets another volume.
	id := "pvc-" + string(claim.UID)
	if _, err := p.volumes.Get(id); err == nil {
		return nil
	}
	path := filepath.Join(p.directory, id)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return fmt.Errorf("failed to make the directory: %w", err)
	}
	// A hostPath ignores fsGroup, and pods that may not be root must write; MkdirAll is subject to the umask.
	if err := os.Chmod(path, 0o777); err != nil {
		return fmt.Errorf("failed to open the directory: %w", err)
	}
	policy := core.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		policy = *class.ReclaimPolicy
	}
	kind := core.HostPathDirectory
	made := &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: id, Annotations: map[string]string{provisionedBy: Name}},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: policy,
			StorageClassName:              class.Name,
			ClaimRef: &core.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1",
				Namespace: namespace, Name: name, UID: claim.UID,
			},
			PersistentVolumeSource: core.PersistentVolumeSource{HostPath: &core.HostPathVolumeSource{Path: path, Type: &kind}},
		},
	}
	if _, err := p.client.CoreV1().PersistentVolumes().Create(ctx, made, meta.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("failed to create the volume %s: %w", id, err)
	}
	log.Printf("%s: provisioned %s", key, id)
	return nil
}

// reclaim removes a volume of ours whose claim is gone, and its directory.
func (p *provisioner) reclaim(ctx context.Context, name string) error {
	volume, err := p.volumes.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("failed to read the volume: %w", err)
	}
	spec := volume.Spec
	if volume.Annotations[provisionedBy] != Name || volume.Status.Phase != core.VolumeReleased ||
		spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete || spec.HostPath == nil {
		return nil
	}
	// The path comes from an object that others may write: nothing but what provision made is ever removed.
	if path := filepath.Join(p.directory, name); spec.HostPath.Path == path {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("failed to remove the directory: %w", err)
		}
	} else {
		log.Printf("%s: its path %s is not one of ours and is left alone", name, spec.HostPath.Path)
		return nil
	}
	err = p.client.CoreV1().PersistentVolumes().Delete(ctx, name, meta.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("failed to delete the volume: %w", err)
	}
	log.Printf("%s: removed", name)
	return nil
}
