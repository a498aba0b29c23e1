package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// dataVersion is one version of a data asset: how far each feature's
// distribution lay from where it started, in standard deviations.
type dataVersion struct {
	name, version string
	created       time.Time
	shift         map[string]float64
}

func (d *dataVersion) ref() string { return "azureml:" + d.name + ":" + d.version }

// RegisterData registers the next version of a data asset, holding the data
// as it is now, and returns that version. Azure ML sends no event for it.
func (w *Workspace) RegisterData(name string) (version string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, err := w.addData(name)
	if err != nil {
		return "", fmt.Errorf("register data %q: %w", name, err)
	}
	return d.version, nil
}

func (w *Workspace) addData(name string) (*dataVersion, error) {
	if err := w.room(); err != nil {
		return nil, err
	}
	versions := w.data[name]
	d := &dataVersion{name: name, version: strconv.Itoa(len(versions) + 1), created: w.stamp(), shift: maps.Clone(w.live)}
	w.data[name] = append(versions, d)
	return d, nil
}

// ShiftData moves a feature's distribution by amount standard deviations, in
// production from now on, and registers a new version of every data asset:
// the data that has come in since. Monitors of models trained before see the
// shift; a model trained on the newest data does not. Moving back by -amount
// undoes it.
func (w *Workspace) ShiftData(feature string, amount float64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live[feature] += amount
	for _, name := range slices.Sorted(maps.Keys(w.data)) {
		if _, err := w.addData(name); err != nil {
			return fmt.Errorf("shift %q: register data %q: %w", feature, name, err)
		}
	}
	return nil
}

// findData resolves a reference; a missing version means the newest.
func (w *Workspace) findData(ref string) (*dataVersion, error) {
	name, version := splitAssetRef(ref)
	versions := w.data[name]
	if len(versions) == 0 {
		return nil, fmt.Errorf("data asset %q: %w", name, ErrNotFound)
	}
	if version == "" {
		return versions[len(versions)-1], nil
	}
	for _, d := range versions {
		if d.version == version {
			return d, nil
		}
	}
	return nil, fmt.Errorf("data asset %q has no version %q: %w", name, version, ErrNotFound)
}
